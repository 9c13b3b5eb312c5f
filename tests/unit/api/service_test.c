// SPDX-License-Identifier: Apache-2.0
//
// What admission gives to Services: addresses and node ports.
#include "bench.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_DYNAMIC 30086
#define LAST          32767

static struct answer create(struct api_bench *b, const char *name, const char *ports)
{
    auto_free char *body = xasprintf(
        "{'metadata':{'name':'%s'},'spec':{'type':'NodePort','ports':[%s]}}", name, ports);
    return ask(
        b, (struct ask){.verb = VERB_CREATE, .kind = KIND_SERVICE, .ns = "default", .body = body});
}

static struct str numbers(struct api_bench *b, const struct val *service)
{
    struct str text = S("");
    for (size_t i = 0; i < val_count(val_path(service, "spec.ports")); i++) {
        text = arena_fmt(
            b->arena, STR_FMT "%lld ", STR_ARG(text),
            (long long)val_number_at(val_at(val_path(service, "spec.ports"), i), "nodePort", 0));
    }
    return text;
}

TEST(node_ports_that_are_asked_for)
{
    static const struct {
        const char *name;
        const char *ports;
        int code;
        const char *want; /* the numbers, or what is wrong */
    } rows[] = {
        {"a",
         "{'name':'t','port':1,'nodePort':30001},{'name':'u','port':1,'protocol':'UDP',"
         "'nodePort':30001}",                                                                  201, "30001 30001 "},
        {"b", "{'port':1,'protocol':'SCTP','nodePort':30001}",                                 422,
         "Service \"b\" is invalid: spec.ports[0].nodePort: Invalid value: 30001: provided port is "
         "already allocated"                                                                                      },
        {"c", "{'name':'t','port':1,'nodePort':30002},{'name':'u','port':2,'nodePort':30002}", 422,
         "Service \"c\" is invalid: spec.ports[1].nodePort: Invalid value: 30002: provided port is "
         "already allocated"                                                                                      },
        {"d", "{'port':1,'nodePort':29999}",                                                   422,
         "Service \"d\" is invalid: spec.ports[0].nodePort: Invalid value: 29999: provided port is "
         "not in the valid range. The range of valid ports is 30000-32767"                                        },
        {"e", "{'port':1,'nodePort':32767}",                                                   201, "32767 "      },
        {"f", "{'port':1,'nodePort':30002}",                                                   201, "30002 "      },
    };
    struct api_bench b;
    bench_open(&b);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer got = create(&b, rows[i].name, rows[i].ports);
        EXPECT_INT(rows[i].code, got.code);
        EXPECT_STR(rows[i].want, got.code == 201 ? numbers(&b, &got.val) : got.message);
    }
    bench_close(&b);
}

static struct answer create_many(struct api_bench *b, const char *name, size_t count)
{
    struct buf ports;
    buf_init(&ports, 1 << 20);
    for (size_t i = 1; i <= count; i++) {
        (void)buf_addf(&ports, "%s{'name':'p%zu','port':%zu}", i == 1 ? "" : ",", i, i);
    }
    (void)buf_add(&ports, (struct str){"", 1});
    struct answer got = create(b, name, ports.p);
    buf_done(&ports);
    return got;
}

TEST(node_ports_fill_the_range_and_stay)
{
    enum { ALL = LAST - FIRST_DYNAMIC + 1 };
    struct api_bench b;
    bench_open(&b);
    struct answer got = create_many(&b, "all", ALL);
    EXPECT_INT(201, got.code);
    auto_free bool *is_seen = xcalloc(LAST + 1, sizeof *is_seen);
    const struct val *ports = val_path(&got.val, "spec.ports");
    for (size_t i = 0; i < ALL; i++) {
        int64_t number = val_number_at(val_at(ports, i), "nodePort", 0);
        EXPECT(number >= FIRST_DYNAMIC && number <= LAST && !is_seen[number]);
        is_seen[number] = true;
    }
    struct str before = numbers(&b, &got.val);
    struct answer full = create_many(&b, "one", 1);
    EXPECT_INT(422, full.code);
    EXPECT_STR("Service \"one\" is invalid: spec.ports[0].nodePort: Invalid value: null: failed to "
               "allocate a nodePort: range is full",
               full.message);
    /* An update that doesn't mention them keeps them, in whatever order the ports come. */
    struct buf body;
    buf_init(&body, 1 << 20);
    (void)buf_add(&body, S("{'metadata':{'name':'all'},'spec':{'type':'NodePort','ports':["));
    for (size_t i = ALL; i > 0; i--) {
        (void)buf_addf(&body, "{'name':'q%zu','port':%zu}%s", i, i, i == 1 ? "]}}" : ",");
    }
    (void)buf_add(&body, (struct str){"", 1});
    got = ask(&b, (struct ask){.verb = VERB_UPDATE,
                               .kind = KIND_SERVICE,
                               .ns = "default",
                               .name = "all",
                               .body = body.p});
    buf_done(&body);
    EXPECT_INT(200, got.code);
    struct val reversed = val_list();
    ports = val_path(&got.val, "spec.ports");
    for (size_t i = ALL; i-- > 0;) {
        (void)val_push(b.arena, &reversed, *val_at(ports, i));
    }
    struct val spec = val_map();
    struct val service = val_map();
    (void)val_set(b.arena, &spec, S("ports"), reversed);
    (void)val_set(b.arena, &service, S("spec"), spec);
    EXPECT(str_eq(before, numbers(&b, &service)));
    bench_close(&b);
}
