// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "net/internal.h"
#include "net/pod_net.h"

#include <netinet/in.h>

TEST(addresses_are_read_strictly)
{
    static const struct {
        const char *text;
        int code;
        uint32_t address;
    } rows[] = {
        {"10.244.0.1",      0,           0x0af40001},
        {"0.0.0.0",         0,           0         },
        {"255.255.255.255", 0,           UINT32_MAX},
        {"256.0.0.1",       ERR_INVALID, 0         },
        {"1.2.3",           ERR_INVALID, 0         },
        {"1.2.3.4.5",       ERR_INVALID, 0         },
        {"1.2.3.",          ERR_INVALID, 0         },
        {"01.2.3.4",        ERR_INVALID, 0         },
        {"1.2.3.4 ",        ERR_INVALID, 0         },
        {"",                ERR_INVALID, 0         },
        {"fd00::1",         ERR_INVALID, 0         },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t address = 0;
        EXPECT_INT(rows[i].code, ip4_parse(str_of(rows[i].text), &address));
        if (rows[i].code == 0) {
            char text[IP4_TEXT_MAX];
            EXPECT_INT(rows[i].address, address);
            ip4_format(address, text);
            EXPECT_STR(rows[i].text, str_of(text));
        }
    }
}

TEST(cidrs_are_masked)
{
    static const struct {
        const char *text;
        int code;
        uint32_t base;
        int prefix;
    } rows[] = {
        {"10.244.0.0/16", 0,           0x0af40000, 16},
        {"10.244.7.9/16", 0,           0x0af40000, 16},
        {"10.96.0.1/32",  0,           0x0a600001, 32},
        {"1.2.3.4/0",     0,           0,          0 },
        {"10.244.0.0/33", ERR_INVALID, 0,          0 },
        {"10.244.0.0/",   ERR_INVALID, 0,          0 },
        {"10.244.0.0",    ERR_INVALID, 0,          0 },
        {"10.244.0/16",   ERR_INVALID, 0,          0 },
        {"1.2.3.4/08",    ERR_INVALID, 0,          0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t base = 0;
        int prefix = 0;
        EXPECT_INT(rows[i].code, cidr4_parse(str_of(rows[i].text), &base, &prefix));
        EXPECT_INT(rows[i].base, base);
        EXPECT_INT(rows[i].prefix, prefix);
    }
}

TEST(ruleset_reads_as_text)
{
    static const struct rule_endpoint two[] = {
        {0x0af40002, 80},
        {0x0af40003, 80}
    };
    static const struct rule_service services[] = {
        {.address = 0,
         .port = 30080,
         .protocol = IPPROTO_TCP,
         .endpoints = two,
         .endpoints_count = 1},
        {.address = 0x0a600010,
         .port = 80,
         .protocol = IPPROTO_TCP,
         .affinity_seconds = 10800,
         .endpoints = two,
         .endpoints_count = 2},
        {.address = 0x0a600011, .port = 53, .protocol = IPPROTO_UDP                            },
    };
    struct ruleset set = {.services = services, .services_count = 3};
    auto_buf struct buf out;
    buf_init(&out, 1000);
    EXPECT_INT(0, ruleset_write(&out, &set));
    EXPECT_STR("tcp *:30080 -> 10.244.0.2:80\n"
               "tcp 10.96.0.16:80 sticky 10800s -> 10.244.0.2:80 10.244.0.3:80\n"
               "udp 10.96.0.17:53 reject\n",
               buf_str(&out));
}

enum { POOL = 40 };

static size_t count_of(const struct rule_endpoint *slots, size_t count, uint32_t address)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        n += slots[i].address == address ? 1 : 0;
    }
    return n;
}

TEST(slots_are_dealt_evenly_and_move_little)
{
    struct rule_endpoint pool[POOL];
    for (uint32_t i = 0; i < POOL; i++) {
        pool[i] = (struct rule_endpoint){.address = i + 1, .port = 80};
    }
    for (size_t n = 1; n < POOL; n++) {
        size_t count = slot_classes[slot_class_of(n, /*is_sticky=*/true)].count;
        static struct rule_endpoint first[SLOTS_MAX];
        static struct rule_endpoint fewer[SLOTS_MAX];
        slots_deal(pool, n, NULL, count, first);
        for (uint32_t i = 0; i < n; i++) {
            size_t share = count_of(first, count, i + 1);
            EXPECT(share == count / n || share == count / n + 1);
        }
        /* The first endpoint leaves: only its slots may change, save one each for evenness. */
        if (n == 1) {
            continue;
        }
        slots_deal(pool + 1, n - 1, first, count, fewer);
        size_t moved = 0;
        for (size_t i = 0; i < count; i++) {
            EXPECT(fewer[i].address != 1);
            moved += first[i].address != fewer[i].address ? 1 : 0;
        }
        EXPECT(moved <= count / n + 1);
    }
}

TEST(slot_classes_fit_the_number_of_endpoints)
{
    static const struct {
        size_t endpoints;
        bool is_sticky;
        uint32_t slots;
    } rows[] = {
        {1,  false, 1   },
        {2,  false, 12  },
        {3,  false, 12  },
        {5,  false, 60  },
        {12, false, 12  },
        {20, false, 60  },
        {21, false, 1260},
        {1,  true,  60  },
        {60, true,  60  },
        {61, true,  1260},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        EXPECT_INT(rows[i].slots,
                   slot_classes[slot_class_of(rows[i].endpoints, rows[i].is_sticky)].count);
    }
}
