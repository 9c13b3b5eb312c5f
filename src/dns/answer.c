// SPDX-License-Identifier: Apache-2.0
//
// Which records a name has. A name is walked from the right: the zone, then svc or pod, then the
// namespace, then the service, then a host of it or a port of it. Each step either goes on or knows
// the outcome (spec/node.md 8.2).
#include "dns/answer.h"

#include "dns/internal.h"

#include <stdio.h>

enum { TTL_VERSION = 28800, TTL_NEGATIVE_MAX = 300, CHASES_MAX = 10, TEXT_ROOM = 512 };
enum { SOA_REFRESH = 7200, SOA_RETRY = 1800, SOA_EXPIRE = 86400, SRV_WEIGHTS = 100 };
enum { REVERSE_LABELS = 6, ADDRESS_PARTS = 4 };

enum found {
    FOUND,         /* the name is there; it may have no record of the type */
    FOUND_NOTHING, /* no such name */
    FOUND_OUTSIDE, /* not a name of ours */
    FOUND_TARGET,  /* a CNAME: go on with job->target */
};

struct job {
    const struct zone *zone;
    struct rng *rng;
    struct dns_writer *writer;
    uint16_t type;
    const struct dns_name *owner; /* of the records; NULL = the question's name */
    struct dns_name target;
    bool is_cut; /* an answer record did not fit */
    bool is_reverse;
    /* Whose addresses the additional section should hold; NULL = none. */
    const struct dns_entry *srv_entry;
    struct str srv_host; /* empty = all of the entry */
    size_t srv_start;
};

static bool wants(const struct job *job, enum dns_type type)
{
    return job->type == type || job->type == DNS_ANY;
}

static void end(struct job *job)
{
    if (!dns_record_end(job->writer)) {
        job->is_cut = true;
    }
}

static void put_address(struct job *job, enum dns_section section, const struct dns_name *owner,
                        uint32_t address)
{
    dns_record_begin(job->writer, section, owner, DNS_A, job->zone->config.ttl);
    dns_put_u32(job->writer, address);
}

/* Starts at a random one, so that clients that take the first spread out. */
static size_t start_of(const struct job *job, size_t count)
{
    return count < 2 ? 0 : (size_t)rng_below(job->rng, count);
}

static void put_addresses(struct job *job, const uint32_t *addresses, size_t count)
{
    size_t start = start_of(job, count);
    for (size_t i = 0; i < count && wants(job, DNS_A) && !job->is_cut; i++) {
        put_address(job, DNS_ANSWER, job->owner, addresses[(start + i) % count]);
        end(job);
    }
}

/* "<host>.<service>.<namespace>.svc.<domain>", without the host when it is empty. */
static bool entry_name(const struct zone *zone, const struct dns_entry *entry, struct str host,
                       struct dns_name *ret)
{
    char text[TEXT_ROOM];
    int n = snprintf(text, sizeof(text), STR_FMT "%s" STR_FMT "." STR_FMT ".svc.%s", STR_ARG(host),
                     host.n > 0 ? "." : "", STR_ARG(entry->name), STR_ARG(entry->ns),
                     zone->domain_text);
    return n > 0 && (size_t)n < sizeof(text) &&
           dns_name_parse(ret, (struct str){text, (size_t)n}) == 0;
}

static bool name_below(const struct zone *zone, const char *prefix, struct dns_name *ret)
{
    char text[TEXT_ROOM];
    int n = snprintf(text, sizeof(text), "%s%s", prefix, zone->domain_text);
    return n > 0 && (size_t)n < sizeof(text) &&
           dns_name_parse(ret, (struct str){text, (size_t)n}) == 0;
}

static struct str without_underscore(struct str label)
{
    return label.n > 0 && label.p[0] == '_' ? str_sub(label, 1, label.n) : label;
}

/* Which ports a query asks for; empty port = all. */
struct port_filter {
    struct str port;
    struct str protocol;
};

static bool port_fits(const struct dns_port *port, const struct port_filter *filter)
{
    return filter->port.n == 0 ||
           (port->name[0] != '\0' && str_eq(str_of(port->name), filter->port) &&
            str_eq(str_of(port->protocol), filter->protocol));
}

static size_t ports_fitting(const struct dns_port *ports, size_t count,
                            const struct port_filter *filter)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        n += port_fits(&ports[i], filter) ? 1 : 0;
    }
    return n;
}

static bool host_fits(const struct dns_host *host, struct str name)
{
    return name.n == 0 || str_eq(str_of(host->name), name);
}

static void put_srv(struct job *job, const struct dns_entry *entry, struct str host, size_t total,
                    uint16_t port)
{
    struct dns_name target;
    if (job->is_cut || !entry_name(job->zone, entry, host, &target)) {
        return;
    }
    size_t weight = SRV_WEIGHTS / total;
    dns_record_begin(job->writer, DNS_ANSWER, job->owner, DNS_SRV, job->zone->config.ttl);
    dns_put_u16(job->writer, 0);
    dns_put_u16(job->writer, weight == 0 ? 1 : (uint16_t)weight);
    dns_put_u16(job->writer, port);
    dns_put_full_name(job->writer, &target);
    end(job);
}

static void put_fitting_srvs(struct job *job, const struct dns_entry *entry, struct str host,
                             const struct dns_port *ports, size_t ports_count,
                             const struct port_filter *filter, size_t total)
{
    for (size_t p = 0; p < ports_count; p++) {
        if (port_fits(&ports[p], filter)) {
            put_srv(job, entry, host, total, ports[p].number);
        }
    }
}

/* SRV records of a service's ports, or of its hosts' (headless, or one host). Returns how many
 * there are, asked for or not. */
static size_t answer_srv(struct job *job, const struct dns_entry *entry, struct str host,
                         const struct port_filter *filter)
{
    size_t total = 0;
    if (!entry->is_headless && host.n == 0) {
        total = ports_fitting(entry->ports, entry->ports_count, filter);
        if (wants(job, DNS_SRV)) {
            put_fitting_srvs(job, entry, host, entry->ports, entry->ports_count, filter, total);
        }
    } else {
        for (size_t i = 0; i < entry->hosts_count; i++) {
            const struct dns_host *h = &entry->hosts[i];
            total += host_fits(h, host)
                         ? ports_fitting(h->slice->ports, h->slice->ports_count, filter)
                         : 0;
        }
        job->srv_start = start_of(job, entry->hosts_count);
        for (size_t i = 0; i < entry->hosts_count && wants(job, DNS_SRV); i++) {
            const struct dns_host *h = &entry->hosts[(job->srv_start + i) % entry->hosts_count];
            if (host_fits(h, host)) {
                put_fitting_srvs(job, entry, str_of(h->name), h->slice->ports,
                                 h->slice->ports_count, filter, total);
            }
        }
    }
    if (total > 0 && wants(job, DNS_SRV)) {
        job->srv_entry = entry;
        job->srv_host = host;
    }
    return total;
}

static enum found answer_external(struct job *job, const struct dns_entry *entry)
{
    if (entry->external.labels == 0) {
        return FOUND_NOTHING;
    }
    dns_record_begin(job->writer, DNS_ANSWER, job->owner, DNS_CNAME, job->zone->config.ttl);
    dns_put_name(job->writer, &entry->external);
    end(job);
    job->target = entry->external;
    return job->type == DNS_CNAME || job->type == DNS_ANY || job->is_cut ? FOUND : FOUND_TARGET;
}

static enum found answer_service(struct job *job, const struct dns_entry *entry)
{
    static const struct port_filter every = {
        {NULL, 0},
        {NULL, 0}
    };
    if (entry->is_external) {
        return answer_external(job, entry);
    }
    if (entry->is_headless && entry->addresses_count == 0) {
        return FOUND_NOTHING;
    }
    if (entry->is_headless) {
        put_addresses(job, entry->addresses, entry->addresses_count);
    } else {
        put_addresses(job, entry->cluster, entry->cluster_count);
    }
    (void)answer_srv(job, entry, (struct str){NULL, 0}, &every);
    return FOUND;
}

static enum found answer_host(struct job *job, const struct dns_entry *entry, struct str host)
{
    static const struct port_filter every = {
        {NULL, 0},
        {NULL, 0}
    };
    bool is_there = false;
    uint32_t last = 0;
    for (size_t i = 0; i < entry->hosts_count; i++) {
        const struct dns_host *h = &entry->hosts[i];
        if (!host_fits(h, host)) {
            continue;
        }
        if (wants(job, DNS_A) && !job->is_cut && !(is_there && h->address == last)) {
            put_address(job, DNS_ANSWER, job->owner, h->address);
            end(job);
        }
        is_there = true;
        last = h->address;
    }
    if (is_there) {
        (void)answer_srv(job, entry, host, &every);
    }
    return is_there ? FOUND : FOUND_NOTHING;
}

/* labels are those left of "svc", n of them. */
static enum found answer_svc(struct job *job, const struct dns_name *name, size_t n)
{
    if (n == 0) {
        return FOUND;
    }
    struct str ns = dns_label(name, n - 1);
    if (n == 1) {
        return zone_has_namespace(job->zone, ns) ? FOUND : FOUND_NOTHING;
    }
    const struct dns_entry *entry = zone_find(job->zone, ns, dns_label(name, n - 2));
    if (entry == NULL || n > 4 || (entry->is_external && n > 2)) {
        return FOUND_NOTHING;
    }
    if (n == 2) {
        return answer_service(job, entry);
    }
    if (n == 3) {
        return answer_host(job, entry, dns_label(name, 0));
    }
    const struct port_filter filter = {
        .port = without_underscore(dns_label(name, 0)),
        .protocol = without_underscore(dns_label(name, 1)),
    };
    if (filter.port.n == 0) {
        return FOUND_NOTHING;
    }
    return answer_srv(job, entry, (struct str){NULL, 0}, &filter) > 0 ? FOUND : FOUND_NOTHING;
}

/* "10-244-0-5"; false when it is no address. */
static bool dashed_address(struct str text, uint32_t *ret)
{
    uint32_t address = 0;
    int parts = 0;
    while (text.p != NULL) {
        struct str part = str_cut(&text, '-');
        uint64_t number;
        if (part.n > 3 || str_to_u64(part, &number) < 0 || number > 255 ||
            ++parts > ADDRESS_PARTS) {
            return false;
        }
        address = address << 8 | (uint32_t)number;
    }
    *ret = address;
    return parts == ADDRESS_PARTS;
}

static enum found answer_pod(struct job *job, const struct dns_name *name, size_t n)
{
    uint32_t address;
    if (n == 0) {
        return FOUND;
    }
    if (n > 2 || !zone_has_namespace(job->zone, dns_label(name, n - 1))) {
        return FOUND_NOTHING;
    }
    if (n == 1) {
        return FOUND;
    }
    if (!dashed_address(dns_label(name, 0), &address)) {
        return FOUND_NOTHING;
    }
    put_addresses(job, &address, 1);
    return FOUND;
}

static void put_soa(struct job *job, enum dns_section section)
{
    const struct zone *zone = job->zone;
    struct dns_writer *w = job->writer;
    uint32_t ttl = zone->config.ttl < TTL_NEGATIVE_MAX ? zone->config.ttl : TTL_NEGATIVE_MAX;
    struct dns_name reverse;
    struct dns_name server;
    struct dns_name master;
    if (dns_name_parse(&reverse, S("in-addr.arpa")) < 0 || !name_below(zone, "ns.dns.", &server) ||
        !name_below(zone, "hostmaster.", &master)) {
        return;
    }
    dns_record_begin(w, section, job->is_reverse ? &reverse : &zone->domain, DNS_SOA, ttl);
    dns_put_name(w, &server);
    dns_put_name(w, &master);
    dns_put_u32(w, zone->serial);
    dns_put_u32(w, SOA_REFRESH);
    dns_put_u32(w, SOA_RETRY);
    dns_put_u32(w, SOA_EXPIRE);
    dns_put_u32(w, ttl);
    (void)dns_record_end(w);
}

/* First entry that has the address in the index of reverse names, or count. */
static size_t reverse_seek(const struct zone *zone, uint32_t address, char key[static 4])
{
    key[0] = (char)(address >> 24);
    key[1] = (char)(address >> 16);
    key[2] = (char)(address >> 8);
    key[3] = (char)address;
    return map_seek(&zone->reverse, (struct str){key, ADDRESS_PARTS});
}

static bool has_cluster_address(const struct dns_entry *entry, uint32_t address)
{
    for (size_t i = 0; i < entry->cluster_count; i++) {
        if (entry->cluster[i] == address) {
            return true;
        }
    }
    return false;
}

static const struct dns_entry *entry_by_cluster_address(const struct zone *zone, uint32_t address)
{
    char key[ADDRESS_PARTS];
    const struct map *map = &zone->reverse;
    for (size_t i = reverse_seek(zone, address, key);
         i < map->count && str_starts(map->entries[i].key, (struct str){key, sizeof(key)}); i++) {
        const struct dns_entry *entry = map->entries[i].value;
        if (has_cluster_address(entry, address)) {
            return entry;
        }
    }
    return NULL;
}

static enum found answer_apex(struct job *job)
{
    const struct zone *zone = job->zone;
    struct dns_name server;
    if (wants(job, DNS_SOA)) {
        put_soa(job, DNS_ANSWER);
    }
    if (wants(job, DNS_NS)) {
        const struct dns_entry *dns = entry_by_cluster_address(zone, zone->config.address);
        if (dns != NULL ? entry_name(zone, dns, (struct str){NULL, 0}, &server)
                        : name_below(zone, "ns.dns.", &server)) {
            dns_record_begin(job->writer, DNS_ANSWER, job->owner, DNS_NS, zone->config.ttl);
            dns_put_name(job->writer, &server);
            end(job);
            put_address(job, DNS_ADDITIONAL, &server, zone->config.address);
            (void)dns_record_end(job->writer);
        }
    }
    return FOUND;
}

static enum found answer_version(struct job *job)
{
    if (wants(job, DNS_TXT)) {
        dns_record_begin(job->writer, DNS_ANSWER, job->owner, DNS_TXT, TTL_VERSION);
        dns_put_bytes(job->writer, S("\x05"
                                     "1.1.0"));
        end(job);
    }
    return FOUND;
}

static void put_ptr(struct job *job, const struct dns_entry *entry, struct str host)
{
    struct dns_name target;
    if (!job->is_cut && wants(job, DNS_PTR) && entry_name(job->zone, entry, host, &target)) {
        dns_record_begin(job->writer, DNS_ANSWER, job->owner, DNS_PTR, job->zone->config.ttl);
        dns_put_name(job->writer, &target);
        end(job);
    }
}

static void put_host_ptrs(struct job *job, const struct dns_entry *entry, uint32_t address)
{
    const char *last = NULL;
    for (size_t i = 0; i < entry->hosts_count; i++) {
        const struct dns_host *host = &entry->hosts[i];
        if (host->address == address && (last == NULL || strcmp(last, host->name) != 0)) {
            put_ptr(job, entry, str_of(host->name));
            last = host->name;
        }
    }
}

static bool is_inside(uint32_t address, uint32_t base, int prefix)
{
    return prefix > 0 && (address ^ base) >> (32 - prefix) == 0;
}

static enum found answer_reverse(struct job *job, const struct dns_name *name)
{
    uint32_t address = 0;
    for (size_t i = 0; i < ADDRESS_PARTS; i++) {
        uint64_t number;
        struct str label = dns_label(name, i);
        if (label.n > 3 || str_to_u64(label, &number) < 0 || number > 255) {
            return FOUND_OUTSIDE;
        }
        address |= (uint32_t)number << 8 * i;
    }
    job->is_reverse = true;
    const struct zone_config *config = &job->zone->config;
    const struct dns_entry *service = entry_by_cluster_address(job->zone, address);
    if (service != NULL) {
        put_ptr(job, service, (struct str){NULL, 0});
        return FOUND;
    }
    char key[ADDRESS_PARTS];
    const struct map *map = &job->zone->reverse;
    size_t i = reverse_seek(job->zone, address, key);
    const struct str prefix = {key, sizeof(key)};
    bool is_there = i < map->count && str_starts(map->entries[i].key, prefix);
    for (; i < map->count && str_starts(map->entries[i].key, prefix); i++) {
        put_host_ptrs(job, map->entries[i].value, address);
    }
    bool is_ours = is_inside(address, config->service_cidr, config->service_prefix) ||
                   is_inside(address, config->pod_cidr, config->pod_prefix);
    return is_there ? FOUND : is_ours ? FOUND_NOTHING : FOUND_OUTSIDE;
}

static bool ends_with(const struct dns_name *name, const struct dns_name *suffix)
{
    return name->labels >= suffix->labels && name->len >= suffix->len &&
           (name->labels == suffix->labels
                ? name->len == suffix->len
                : name->at[name->labels - suffix->labels] == name->len - suffix->len) &&
           memcmp(name->bytes + name->len - suffix->len, suffix->bytes, suffix->len) == 0;
}

static enum found answer_name(struct job *job, const struct dns_name *name)
{
    const struct zone *zone = job->zone;
    if (!ends_with(name, &zone->domain)) {
        bool is_address = name->labels == REVERSE_LABELS &&
                          str_eq(dns_label(name, 4), S("in-addr")) &&
                          str_eq(dns_label(name, 5), S("arpa"));
        return is_address ? answer_reverse(job, name) : FOUND_OUTSIDE;
    }
    size_t n = name->labels - zone->domain.labels;
    if (n == 0) {
        return answer_apex(job);
    }
    struct str first = dns_label(name, n - 1);
    if (str_eq(first, S("svc"))) {
        return answer_svc(job, name, n - 1);
    }
    if (str_eq(first, S("pod"))) {
        return answer_pod(job, name, n - 1);
    }
    if (n == 1 && str_eq(first, S("dns-version"))) {
        return answer_version(job);
    }
    if (str_eq(first, S("dns")) && (n == 1 || (n == 2 && str_eq(dns_label(name, 0), S("ns"))))) {
        put_addresses(job, &zone->config.address, n - 1);
        return FOUND;
    }
    return FOUND_NOTHING;
}

/* Addresses of the targets of the SRV records, as far as there is room. */
static void put_srv_addresses(struct job *job)
{
    const struct dns_entry *entry = job->srv_entry;
    struct dns_name owner;
    bool is_open = entry != NULL && !job->is_cut;
    if (is_open && !entry->is_headless && job->srv_host.n == 0) {
        for (size_t i = 0; i < entry->cluster_count && is_open; i++) {
            is_open = entry_name(job->zone, entry, job->srv_host, &owner);
            put_address(job, DNS_ADDITIONAL, &owner, entry->cluster[i]);
            is_open = dns_record_end(job->writer) && is_open;
        }
        return;
    }
    for (size_t i = 0; is_open && i < entry->hosts_count; i++) {
        const struct dns_host *h = &entry->hosts[(job->srv_start + i) % entry->hosts_count];
        if (host_fits(h, job->srv_host) && entry_name(job->zone, entry, str_of(h->name), &owner)) {
            put_address(job, DNS_ADDITIONAL, &owner, h->address);
            is_open = dns_record_end(job->writer);
        }
    }
}

size_t dns_answer_limit(const struct dns_query *query, size_t udp_limit)
{
    if (udp_limit == 0) {
        return DNS_TCP_BYTES;
    }
    size_t client =
        query->has_edns && query->udp_bytes > DNS_UDP_BYTES ? query->udp_bytes : DNS_UDP_BYTES;
    size_t limit = client < udp_limit ? client : udp_limit;
    return limit < DNS_UDP_BYTES ? DNS_UDP_BYTES : limit;
}

static enum dns_outcome finish(const struct zone *zone, struct dns_writer *writer,
                               const struct dns_query *query, uint16_t flags, int rcode,
                               struct buf *out)
{
    flags = (uint16_t)(flags | (zone->config.is_recursive ? DNS_FLAG_RA : 0));
    buf_grew(out, dns_write_end(writer, query, flags, rcode));
    return DNS_ANSWERED;
}

static enum dns_outcome fail(const struct zone *zone, struct str query,
                             const struct dns_query *parsed, int rcode, struct buf *out)
{
    struct dns_writer writer;
    buf_clear(out);
    char *room = buf_room(out, DNS_UDP_BYTES);
    if (room == NULL) {
        return DNS_DROP;
    }
    dns_write_begin(&writer, (uint8_t *)room, DNS_UDP_BYTES, query, parsed);
    return finish(zone, &writer, parsed, 0, rcode, out);
}

/* Follows CNAMEs inside the zone. */
static enum found answer_chain(struct job *job, const struct dns_name *name)
{
    enum found found = answer_name(job, name);
    struct dns_name owner;
    for (int i = 0; i < CHASES_MAX && found == FOUND_TARGET; i++) {
        owner = job->target;
        job->owner = &owner;
        found = answer_name(job, &owner);
        if (found == FOUND_OUTSIDE) {
            job->owner = NULL;
            return FOUND_TARGET;
        }
    }
    job->owner = NULL;
    return found == FOUND_TARGET ? FOUND_NOTHING : found; /* a ring of CNAMEs */
}

enum dns_outcome dns_answer(const struct zone *zone, struct str query, size_t udp_limit,
                            struct rng *rng, struct buf *out)
{
    struct dns_query parsed;
    int rcode = dns_query_read(query, &parsed);
    if (rcode < 0) {
        return DNS_DROP;
    }
    bool is_transfer = parsed.type == DNS_AXFR || parsed.type == DNS_IXFR;
    if (rcode == DNS_NOERROR && (parsed.class != DNS_IN || is_transfer)) {
        rcode = DNS_REFUSED;
    }
    if (rcode != DNS_NOERROR) {
        return fail(zone, query, &parsed, rcode, out);
    }
    size_t limit = dns_answer_limit(&parsed, udp_limit);
    struct dns_writer writer;
    buf_clear(out);
    char *room = buf_room(out, limit);
    if (room == NULL) {
        return DNS_DROP;
    }
    dns_write_begin(&writer, (uint8_t *)room, limit, query, &parsed);
    struct job job = {.zone = zone, .rng = rng, .writer = &writer, .type = parsed.type};
    enum found found = answer_chain(&job, &parsed.name);
    if (found == FOUND_OUTSIDE) {
        return DNS_FORWARD;
    }
    bool is_empty = writer.counts[DNS_ANSWER] == 0;
    if (found == FOUND_NOTHING) {
        rcode = DNS_NXDOMAIN; /* also behind a CNAME (RFC 6604) */
    }
    if ((is_empty && !job.is_cut) || rcode == DNS_NXDOMAIN) {
        put_soa(&job, DNS_AUTHORITY);
    }
    put_srv_addresses(&job);
    uint16_t flags = (uint16_t)(DNS_FLAG_AA | (job.is_cut ? DNS_FLAG_TC : 0));
    (void)finish(zone, &writer, &parsed, flags, rcode, out);
    return found == FOUND_TARGET ? DNS_CHASE : DNS_ANSWERED;
}

enum dns_outcome dns_answer_error(const struct zone *zone, struct str query, enum dns_rcode rcode,
                                  struct buf *out)
{
    struct dns_query parsed;
    int found = dns_query_read(query, &parsed);
    return found < 0 ? DNS_DROP : fail(zone, query, &parsed, (int)rcode, out);
}
