// SPDX-License-Identifier: Apache-2.0
//
// Makes the kernel agree with a rule set: walks the loaded and the wanted services side by side
// (both sorted) and sends what differs. Messages are nft.c's.
//
// Invariants: (1) while is_loaded, services[] is what the kernel holds; (2) any failure clears
// is_loaded, and the next apply replaces the whole table; (3) an endpoint change of one service is
// in one batch, so a packet sees the old slots or the new ones.
#include "net/nft.h"

#include "base/mem.h"

#include <assert.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Rootless sockets can't have a large send buffer: 300 services of 16 slots pass there in one
 * batch, 500 don't (spec/machine.md trap 7). */
enum {
    SEND_BYTES_WANTED = 4 << 20,
    SERVICE_BYTES_MAX = 256 << 10, /* 1,260 elements deleted and as many added take half of it */
    BATCH_SERVICES_MAX = 200,
};

struct loaded {
    struct rule_service service; /* endpoints are ours */
    size_t slot_class;
    struct rule_endpoint *slots; /* NULL without endpoints */
};

struct sticky_chain {
    uint32_t seconds;
    size_t slot_class;
};

struct rule_loader {
    struct nl nl;
    struct nl conntrack;
    struct nft_batch batch;
    size_t batch_bytes_max;
    size_t batch_services;
    bool is_loaded;
    bool must_sweep_all;  /* the last conntrack sweep failed */
    struct ruleset frame; /* the address ranges that the rules were made for; no services */
    struct loaded *services;
    size_t services_count;
    uint32_t *hairpins; /* sorted, unique */
    size_t hairpins_count;
    struct sticky_chain *sticky;
    size_t sticky_count;
    struct affinity before; /* of the table that this apply replaces */
};

static void loaded_done(struct loaded *loaded)
{
    free(loaded->slots);
    free((void *)(uintptr_t)loaded->service.endpoints);
}

static void services_free(struct loaded *services, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        loaded_done(&services[i]);
    }
    free(services);
}

static size_t send_bytes(int fd)
{
    int want = SEND_BYTES_WANTED;
    int got = 0;
    socklen_t size = sizeof(got);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof(want)) < 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof(want));
    }
    (void)getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &got, &size);
    return got < 0 ? 0 : (size_t)got;
}

struct rule_loader *rule_loader_open(struct err *err)
{
    struct rule_loader *loader = xcalloc(1, sizeof(*loader));
    if (nl_open(&loader->nl, NETLINK_NETFILTER, err) < 0 ||
        nl_open(&loader->conntrack, NETLINK_NETFILTER, err) < 0) {
        rule_loader_close(loader);
        return NULL;
    }
    size_t bytes = send_bytes(mnl_socket_get_fd(loader->nl.socket));
    loader->batch_bytes_max =
        bytes > SERVICE_BYTES_MAX + NFT_MESSAGE_MAX ? bytes - SERVICE_BYTES_MAX : NFT_MESSAGE_MAX;
    loader->batch.size = loader->batch_bytes_max + SERVICE_BYTES_MAX + 2L * NFT_MESSAGE_MAX;
    loader->batch.bytes = xmalloc(loader->batch.size);
    /* An empty table would refuse what the last brain's table still serves: the table is replaced
     * in one transaction with the first services. */
    return loader;
}

void rule_loader_close(struct rule_loader *loader)
{
    if (loader == NULL) {
        return;
    }
    nl_close(&loader->nl);
    nl_close(&loader->conntrack);
    services_free(loader->services, loader->services_count);
    free(loader->hairpins);
    free(loader->sticky);
    free(loader->batch.bytes);
    free(loader);
}

static int batch_send(struct rule_loader *loader, struct err *err)
{
    loader->batch_services = 0;
    return nft_batch_send(&loader->batch, &loader->nl, err);
}

static int batch_service_done(struct rule_loader *loader, struct err *err)
{
    loader->batch_services++;
    bool is_full = loader->batch_services >= BATCH_SERVICES_MAX ||
                   loader->batch.used >= loader->batch_bytes_max;
    return is_full ? batch_send(loader, err) : 0;
}

static void sticky_chain_ensure(struct rule_loader *loader, uint32_t seconds, size_t slot_class)
{
    for (size_t i = 0; i < loader->sticky_count; i++) {
        if (loader->sticky[i].seconds == seconds && loader->sticky[i].slot_class == slot_class) {
            return;
        }
    }
    loader->sticky = xrealloc(loader->sticky, (loader->sticky_count + 1) * sizeof(*loader->sticky));
    loader->sticky[loader->sticky_count++] = (struct sticky_chain){seconds, slot_class};
    nft_put_sticky_chains(&loader->batch, seconds, slot_class);
}

/* What the kernel should hold for service; was (NULL = nothing), or before, gives slots that may
 * stay. */
static struct loaded loaded_make(const struct rule_service *service, const struct loaded *was,
                                 const struct affinity *before)
{
    struct loaded loaded = {.service = *service};
    loaded.service.endpoints = NULL;
    size_t count = service->endpoints_count;
    if (count == 0) {
        return loaded;
    }
    struct rule_endpoint *endpoints = xcalloc(count, sizeof(*endpoints));
    memcpy(endpoints, service->endpoints, count * sizeof(*endpoints));
    loaded.service.endpoints = endpoints;
    loaded.slot_class = slot_class_of(count, service->affinity_seconds > 0);
    size_t slots_count = slot_classes[loaded.slot_class].count;
    struct rule_endpoint known[SLOTS_MAX];
    const struct rule_endpoint *were = NULL;
    if (was != NULL) {
        were = was->slot_class == loaded.slot_class ? was->slots : NULL;
    } else if (service->affinity_seconds > 0 &&
               affinity_slots(before, service, loaded.slot_class, known)) {
        were = known;
    }
    loaded.slots = xcalloc(slots_count, sizeof(*loaded.slots));
    slots_deal(endpoints, count, were, slots_count, loaded.slots);
    return loaded;
}

/* Slots of a (may be empty) that b has not, or has with another endpoint. */
static void put_slots_beyond(struct nft_batch *batch, bool is_add, const struct loaded *a,
                             const struct loaded *b)
{
    if (a->slots == NULL) {
        return;
    }
    const struct slot_class *slots = &slot_classes[a->slot_class];
    const struct rule_endpoint *others = b->slot_class == a->slot_class ? b->slots : NULL;
    auto_free struct nft_slot *list = xcalloc(slots->count, sizeof(*list));
    size_t count = 0;
    for (uint32_t i = 0; i < slots->count; i++) {
        if (others == NULL || endpoint_cmp(&a->slots[i], &others[i]) != 0) {
            list[count++] = (struct nft_slot){slots->offset + i, a->slots[i]};
        }
    }
    nft_put_slots(batch, is_add, &a->service, list, count);
}

static bool is_sticky(const struct loaded *loaded)
{
    return loaded->slots != NULL && loaded->service.affinity_seconds > 0;
}

/* From was to want; either may be {0}. */
static void put_difference(struct rule_loader *loader, const struct loaded *was,
                           const struct loaded *want)
{
    struct nft_batch *batch = &loader->batch;
    bool was_there = was->service.protocol != 0;
    bool is_wanted = want->service.protocol != 0;
    bool is_same_chain = is_sticky(was) && is_sticky(want) && was->slot_class == want->slot_class &&
                         was->service.affinity_seconds == want->service.affinity_seconds;
    if (is_sticky(was) && !is_same_chain) {
        nft_put_sticky(batch, /*is_add=*/false, &was->service, was->slot_class);
    }
    put_slots_beyond(batch, /*is_add=*/false, was, want);
    put_slots_beyond(batch, /*is_add=*/true, want, was);
    if (is_sticky(want) && !is_same_chain) {
        sticky_chain_ensure(loader, want->service.affinity_seconds, want->slot_class);
        nft_put_sticky(batch, /*is_add=*/true, &want->service, want->slot_class);
    }
    bool was_refused = was_there && was->slots == NULL;
    bool is_refused = is_wanted && want->slots == NULL;
    if (was_refused != is_refused) {
        nft_put_refused(batch, is_refused, is_refused ? &want->service : &was->service);
    }
}

static bool is_unchanged(const struct rule_service *a, const struct rule_service *b)
{
    if (a->affinity_seconds != b->affinity_seconds || a->endpoints_count != b->endpoints_count) {
        return false;
    }
    for (size_t i = 0; i < a->endpoints_count; i++) {
        if (endpoint_cmp(&a->endpoints[i], &b->endpoints[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* One apply under way. */
struct change {
    struct loaded *next;
    size_t next_count;
    struct udp_change *udp;
    size_t udp_count;
};

static void note_udp(struct change *change, const struct rule_service *service, bool is_gone)
{
    if (service->protocol == IPPROTO_UDP) {
        change->udp[change->udp_count++] = (struct udp_change){
            .address = service->address,
            .port = service->port,
            .endpoints = is_gone ? NULL : service->endpoints,
            .endpoints_count = is_gone ? 0 : service->endpoints_count,
        };
    }
}

/* One step of the walk: want, was or both (then of the same address and port). */
static void service_step(struct rule_loader *loader, const struct rule_service *want,
                         struct loaded *was, struct change *change)
{
    const struct loaded nothing = {0};
    if (want == NULL) {
        assert(was != NULL);
        put_difference(loader, was, &nothing);
        note_udp(change, &was->service, /*is_gone=*/true);
        return;
    }
    struct loaded made = loaded_make(want, was, &loader->before);
    put_difference(loader, was == NULL ? &nothing : was, &made);
    change->next[change->next_count++] = made;
    note_udp(change, want, /*is_gone=*/false);
}

static void service_keep(struct rule_loader *loader, const struct rule_service *want,
                         struct loaded *was, struct change *change)
{
    change->next[change->next_count++] = *was;
    *was = (struct loaded){0};
    if (loader->must_sweep_all) {
        note_udp(change, want, /*is_gone=*/false);
    }
}

static int services_walk(struct rule_loader *loader, const struct ruleset *set,
                         struct change *change, struct err *err)
{
    size_t at = 0;
    for (size_t i = 0; i < set->services_count || at < loader->services_count;) {
        const struct rule_service *want = i < set->services_count ? &set->services[i] : NULL;
        struct loaded *was = at < loader->services_count ? &loader->services[at] : NULL;
        if (want != NULL && was != NULL) {
            int order = service_cmp(want, &was->service);
            want = order > 0 ? NULL : want;
            was = order < 0 ? NULL : was;
        }
        i += want != NULL ? 1 : 0;
        at += was != NULL ? 1 : 0;
        if (want != NULL && was != NULL && is_unchanged(want, &was->service)) {
            service_keep(loader, want, was, change);
            continue;
        }
        service_step(loader, want, was, change);
        int code = batch_service_done(loader, err);
        if (code < 0) {
            return code;
        }
    }
    return 0;
}

static int address_cmp(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* All endpoint addresses of a set, sorted, unique. Caller frees. */
static uint32_t *hairpins_of(const struct ruleset *set, size_t *ret_count)
{
    size_t total = 0;
    for (size_t i = 0; i < set->services_count; i++) {
        total += set->services[i].endpoints_count;
    }
    uint32_t *all = xcalloc(total + 1, sizeof(*all));
    size_t n = 0;
    for (size_t i = 0; i < set->services_count; i++) {
        for (size_t e = 0; e < set->services[i].endpoints_count; e++) {
            all[n++] = set->services[i].endpoints[e].address;
        }
    }
    qsort(all, n, sizeof(*all), address_cmp);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || all[kept - 1] != all[i]) {
            all[kept++] = all[i];
        }
    }
    *ret_count = kept;
    return all;
}

/* Addresses of a (sorted) that b has not. */
static void put_hairpins_beyond(struct nft_batch *batch, bool is_add, const uint32_t *a,
                                size_t a_count, const uint32_t *b, size_t b_count)
{
    auto_free uint32_t *list = xcalloc(a_count + 1, sizeof(*list));
    size_t count = 0;
    for (size_t i = 0, at = 0; i < a_count; i++) {
        while (at < b_count && b[at] < a[i]) {
            at++;
        }
        if (at == b_count || b[at] != a[i]) {
            list[count++] = a[i];
        }
    }
    nft_put_hairpins(batch, is_add, list, count);
}

static void loader_forget(struct rule_loader *loader)
{
    services_free(loader->services, loader->services_count);
    free(loader->hairpins);
    loader->services = NULL;
    loader->hairpins = NULL;
    loader->services_count = loader->hairpins_count = loader->sticky_count = 0;
    loader->is_loaded = false;
}

static int changes_load(struct rule_loader *loader, const struct ruleset *set,
                        struct change *change, struct err *err)
{
    size_t count;
    uint32_t *hairpins = hairpins_of(set, &count);
    put_hairpins_beyond(&loader->batch, /*is_add=*/true, hairpins, count, loader->hairpins,
                        loader->hairpins_count);
    int code = services_walk(loader, set, change, err);
    if (code == 0) {
        put_hairpins_beyond(&loader->batch, /*is_add=*/false, loader->hairpins,
                            loader->hairpins_count, hairpins, count);
        code = batch_send(loader, err);
    }
    free(loader->hairpins);
    loader->hairpins = hairpins;
    loader->hairpins_count = count;
    return code;
}

static bool is_same_frame(const struct ruleset *a, const struct ruleset *b)
{
    return a->pod_cidr == b->pod_cidr && a->pod_prefix == b->pod_prefix &&
           a->service_cidr == b->service_cidr && a->service_prefix == b->service_prefix;
}

int rule_loader_apply(struct rule_loader *loader, const struct ruleset *set, struct err *err)
{
    nft_batch_begin(&loader->batch);
    loader->batch_services = 0;
    if (!loader->is_loaded || !is_same_frame(&loader->frame, set)) {
        loader_forget(loader);
        affinity_read(&loader->conntrack, &loader->before);
        nft_put_frame(&loader->batch, set);
        affinity_put(&loader->batch, &loader->before, loader->batch_bytes_max / 2);
        loader->frame = *set;
        loader->frame.services = NULL;
        loader->frame.services_count = 0;
    }
    size_t most = loader->services_count + set->services_count;
    struct change change = {
        .next = xcalloc(most + 1, sizeof(*change.next)),
        .udp = xcalloc(most + 1, sizeof(*change.udp)),
    };
    int code = changes_load(loader, set, &change, err);
    services_free(loader->services, loader->services_count);
    loader->services = change.next;
    loader->services_count = change.next_count;
    loader->is_loaded = code == 0;
    affinity_done(&loader->before);
    if (code == 0) {
        code = conntrack_drop_stale(&loader->conntrack, change.udp, change.udp_count, err);
        loader->must_sweep_all = code < 0;
    }
    free(change.udp);
    return code;
}
