// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a query. What must hold: no query, no answer; an answer echoes the id, is marked as
// one, keeps to the limit, reads back whole, and is the same over a larger carrier unless it was
// cut. The second half of the input plays an upstream's reply to a chase.
#include "fuzz.h"

#include "base/rng.h"
#include "data/json.h"
#include "dns/answer.h"

static struct zone *zone;
static struct buf out;
static struct buf wide;
static struct buf chase;

static void tell(bool is_service, struct str key, struct str json)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct val val;
    struct err err;
    must(json_read(json, arena, NULL, &val, &err) == 0);
    if (is_service) {
        zone_set_service(zone, key, &val);
    } else {
        zone_set_slice(zone, key, &val);
    }
}

static void tell_many(void)
{
    struct buf json;
    buf_init(&json, 1 << 20);
    (void)buf_add(&json, S("{\"metadata\":{\"labels\":{\"kubernetes.io/service-name\":\"m\"}},"
                           "\"ports\":[{\"name\":\"p\",\"port\":1}],\"endpoints\":["));
    for (int i = 0; i < 100; i++) {
        (void)buf_addf(&json, "%s{\"hostname\":\"h%d\",\"addresses\":[\"10.244.0.%d\"]}",
                       i == 0 ? "" : ",", i, i);
    }
    (void)buf_add(&json, S("]}"));
    tell(false, S("n/m-x"), buf_str(&json));
    buf_done(&json);
}

static void open_zone(void)
{
    const struct zone_config config = {
        .domain = S("c.l"),
        .ttl = 5,
        .address = 0x0a60000a,
        .service_cidr = 0x0a600000,
        .service_prefix = 12,
        .pod_cidr = 0x0af40000,
        .pod_prefix = 16,
        .is_recursive = true,
    };
    struct err err;
    zone = zone_new(&config, &err);
    buf_init(&out, DNS_TCP_BYTES);
    buf_init(&wide, DNS_TCP_BYTES);
    buf_init(&chase, DNS_TCP_BYTES);
    zone_set_namespace(zone, S("n"));
    tell(true, S("n/s"),
         S("{\"spec\":{\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"name\":\"p\",\"port\":1}]}}"));
    tell(true, S("n/m"), S("{\"spec\":{\"clusterIP\":\"None\"}}"));
    tell(true, S("n/e"), S("{\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"x.y\"}}"));
    tell(true, S("n/i"),
         S("{\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"m.n.svc.c.l\"}}"));
    tell_many();
}

/* Reads a message to its end; returns its TC bit. */
static bool check_message(struct str m, size_t limit, struct str query)
{
    struct dns_name name;
    size_t at = DNS_HEADER_BYTES;
    must(m.n >= DNS_HEADER_BYTES && m.n <= limit);
    const uint8_t *p = (const uint8_t *)m.p;
    must(memcmp(m.p, query.p, 2) == 0 && (p[2] & 0x80) != 0);
    must(p[4] == 0 && p[5] <= 1);
    if (p[5] == 1) {
        must(dns_name_read(m, &at, &name) == 0);
        at += 4;
        must(memcmp(m.p + DNS_HEADER_BYTES, query.p + DNS_HEADER_BYTES, at - DNS_HEADER_BYTES) ==
             0);
    }
    size_t records = 0;
    for (size_t i = 6; i < DNS_HEADER_BYTES; i += 2) {
        records += (size_t)p[i] << 8 | p[i + 1];
    }
    for (size_t i = 0; i < records; i++) {
        struct dns_record record;
        must(dns_record_read(m, &at, &record) == 0);
    }
    must(at == m.n);
    return (p[2] & 2) != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (zone == NULL) {
        open_zone();
    }
    size_t query_size = size > 1 && data[0] < size ? data[0] : size;
    struct str query = {(const char *)data, query_size};
    struct str reply = {(const char *)data + query_size, size - query_size};
    struct rng rng;
    rng_seed(&rng, 1);
    enum dns_outcome outcome = dns_answer(zone, query, DNS_EDNS_BYTES, &rng, &out);
    must(outcome == DNS_DROP || query.n >= DNS_HEADER_BYTES);
    if (outcome == DNS_FORWARD) {
        outcome = dns_answer_error(zone, query, DNS_SERVFAIL, &out);
        must(outcome == DNS_ANSWERED);
    }
    if (outcome == DNS_DROP) {
        return 0;
    }
    bool is_cut = check_message(buf_str(&out), DNS_EDNS_BYTES, query);
    rng_seed(&rng, 1);
    enum dns_outcome again = dns_answer(zone, query, 0, &rng, &wide);
    if (again == DNS_ANSWERED || again == DNS_CHASE) {
        must(!check_message(buf_str(&wide), DNS_TCP_BYTES, query));
        must(is_cut || wide.n >= out.n);
    }
    if (outcome == DNS_CHASE) {
        must(dns_chase_query(buf_str(&out), 7, &chase) == 0);
        if (dns_chase_join(zone, query, buf_str(&out), reply, DNS_EDNS_BYTES, &wide) == 0) {
            (void)check_message(buf_str(&wide), DNS_EDNS_BYTES, query);
        }
    }
    return 0;
}
