// SPDX-License-Identifier: Apache-2.0
//
// Host name, hosts file and resolver file of a pod.
#include "node/pod_files.h"

#include "base/limits.h"

struct str pod_hostname(const struct val *pod, struct arena *arena)
{
    struct str name = val_text_at(pod, "spec.hostname");
    name = name.n ? name : val_text_at(pod, "metadata.name");
    name = str_sub(name, 0, LABEL_LEN_MAX);
    while (name.n > 0 && (name.p[name.n - 1] == '-' || name.p[name.n - 1] == '.')) {
        name.n--;
    }
    return arena_dup(arena, name);
}

struct str pod_domain(const struct val *pod, struct str zone, struct arena *arena)
{
    struct str sub = val_text_at(pod, "spec.subdomain");
    if (sub.n == 0) {
        return S("");
    }
    return arena_fmt(arena, STR_FMT "." STR_FMT ".svc." STR_FMT, STR_ARG(sub),
                     STR_ARG(val_text_at(pod, "metadata.namespace")), STR_ARG(zone));
}

struct str pod_kernel_hostname(const struct val *pod, struct str zone, struct arena *arena)
{
    struct str name = pod_hostname(pod, arena);
    struct str domain = pod_domain(pod, zone, arena);
    if (val_true_at(pod, "spec.setHostnameAsFQDN") && domain.n) {
        return arena_fmt(arena, STR_FMT "." STR_FMT, STR_ARG(name), STR_ARG(domain));
    }
    return name;
}

void pod_hosts_write(struct buf *out, const struct val *pod, struct str ip, struct str zone,
                     struct str node_hosts, struct arena *arena)
{
    if (val_true_at(pod, "spec.hostNetwork")) {
        buf_add(out, S("# Kubernetes-managed hosts file (host network).\n"));
        buf_add(out, node_hosts);
    } else {
        struct str name = pod_hostname(pod, arena);
        struct str domain = pod_domain(pod, zone, arena);
        buf_add(out, S("# Kubernetes-managed hosts file.\n"
                       "127.0.0.1\tlocalhost\n"
                       "::1\tlocalhost ip6-localhost ip6-loopback\n"
                       "fe00::0\tip6-localnet\n"
                       "fe00::0\tip6-mcastprefix\n"
                       "fe00::1\tip6-allnodes\n"
                       "fe00::2\tip6-allrouters\n"));
        if (domain.n) {
            buf_addf(out, STR_FMT "\t" STR_FMT "." STR_FMT "\t" STR_FMT "\n", STR_ARG(ip),
                     STR_ARG(name), STR_ARG(domain), STR_ARG(name));
        } else {
            buf_addf(out, STR_FMT "\t" STR_FMT "\n", STR_ARG(ip), STR_ARG(name));
        }
    }
    const struct val *aliases = val_path(pod, "spec.hostAliases");
    if (val_count(aliases) > 0) {
        buf_add(out, S("\n# Entries added by HostAliases.\n"));
    }
    for (size_t i = 0; i < val_count(aliases); i++) {
        const struct val *names = val_get(val_at(aliases, i), S("hostnames"));
        buf_add(out, val_text(val_get(val_at(aliases, i), S("ip"))));
        for (size_t k = 0; k < val_count(names); k++) {
            buf_addf(out, "\t" STR_FMT, STR_ARG(val_text(val_at(names, k))));
        }
        buf_addc(out, '\n');
    }
}

/* --- resolv.conf --- */

enum { WORDS_MAX = 64, SERVERS_MAX = 3, SEARCHES_MAX = 32, SEARCH_CHARS_MAX = 2048 };

struct words {
    struct str list[WORDS_MAX];
    size_t count;
    bool over;
};

static void add_word(struct words *words, struct str word)
{
    for (size_t i = 0; i < words->count; i++) {
        if (str_eq(words->list[i], word)) {
            return;
        }
    }
    if (words->count == WORDS_MAX) {
        words->over = true;
        return;
    }
    words->list[words->count++] = word;
}

/* Options: "name:value" replaces "name" or "name:…". */
static void add_option(struct words *words, struct str option)
{
    struct str rest = option;
    struct str name = str_cut(&rest, ':');
    for (size_t i = 0; i < words->count; i++) {
        struct str other = words->list[i];
        if (str_eq(str_cut(&other, ':'), name)) {
            words->list[i] = option;
            return;
        }
    }
    add_word(words, option);
}

static void each_word(struct str line, struct words *to, void (*add)(struct words *, struct str))
{
    while (line.p) {
        struct str word = str_trim(str_cut(&line, ' '));
        if (word.n) {
            add(to, word);
        }
    }
}

struct resolv {
    struct words servers, searches, options;
};

static void read_resolv(struct resolv *r, struct str text, bool wants_servers, bool wants_options)
{
    while (text.p) {
        struct str line = str_trim(str_cut(&text, '\n'));
        if (str_starts(line, S("nameserver ")) && wants_servers) {
            add_word(&r->servers, str_trim(str_sub(line, 11, line.n)));
        } else if (str_starts(line, S("search "))) {
            r->searches.count = wants_servers ? 0 : r->searches.count;
            each_word(str_sub(line, 7, line.n), &r->searches, add_word);
        } else if (str_starts(line, S("options ")) && wants_options) {
            each_word(str_sub(line, 8, line.n), &r->options, add_option);
        }
    }
}

static void merge_config(struct resolv *r, const struct val *config, struct arena *arena)
{
    const struct val *servers = val_get(config, S("nameservers"));
    const struct val *searches = val_get(config, S("searches"));
    const struct val *options = val_get(config, S("options"));
    for (size_t i = 0; i < val_count(servers); i++) {
        add_word(&r->servers, val_text(val_at(servers, i)));
    }
    for (size_t i = 0; i < val_count(searches); i++) {
        add_word(&r->searches, val_text(val_at(searches, i)));
    }
    for (size_t i = 0; i < val_count(options); i++) {
        struct str name = val_text(val_get(val_at(options, i), S("name")));
        struct str value = val_text(val_get(val_at(options, i), S("value")));
        add_option(&r->options,
                   value.n ? arena_fmt(arena, STR_FMT ":" STR_FMT, STR_ARG(name), STR_ARG(value))
                           : name);
    }
}

static void write_words(struct buf *out, const char *what, const struct words *words)
{
    if (words->count == 0) {
        return;
    }
    buf_add(out, str_of(what));
    for (size_t i = 0; i < words->count; i++) {
        buf_addf(out, " " STR_FMT, STR_ARG(words->list[i]));
    }
    buf_addc(out, '\n');
}

static bool cap_words(struct resolv *r)
{
    bool is_cut = r->servers.count > SERVERS_MAX || r->searches.count > SEARCHES_MAX;
    r->servers.count = r->servers.count > SERVERS_MAX ? SERVERS_MAX : r->servers.count;
    r->searches.count = r->searches.count > SEARCHES_MAX ? SEARCHES_MAX : r->searches.count;
    size_t chars = 0;
    for (size_t i = 0; i < r->searches.count; i++) {
        chars += r->searches.list[i].n + 1;
        if (chars > SEARCH_CHARS_MAX) {
            r->searches.count = i;
            is_cut = true;
        }
    }
    return is_cut;
}

struct str pod_resolv_write(struct buf *out, const struct val *pod, struct str cluster_dns,
                            struct str zone, struct str node_resolv, struct arena *arena)
{
    struct resolv r = {0};
    struct str policy = val_text_at(pod, "spec.dnsPolicy");
    bool is_host = val_true_at(pod, "spec.hostNetwork");
    bool is_cluster = str_eq(policy, S("ClusterFirstWithHostNet")) ||
                      (!is_host && (policy.n == 0 || str_eq(policy, S("ClusterFirst"))));
    if (is_cluster && cluster_dns.n) {
        struct str ns = val_text_at(pod, "metadata.namespace");
        add_word(&r.servers, cluster_dns);
        add_word(&r.searches,
                 arena_fmt(arena, STR_FMT ".svc." STR_FMT, STR_ARG(ns), STR_ARG(zone)));
        add_word(&r.searches, arena_fmt(arena, "svc." STR_FMT, STR_ARG(zone)));
        add_word(&r.searches, zone);
        read_resolv(&r, node_resolv, /*wants_servers=*/false, /*wants_options=*/false);
        add_option(&r.options, S("ndots:5"));
    } else if (!str_eq(policy, S("None"))) {
        read_resolv(&r, node_resolv, /*wants_servers=*/true, /*wants_options=*/true);
    }
    merge_config(&r, val_path(pod, "spec.dnsConfig"), arena);
    bool is_cut = cap_words(&r);
    write_words(out, "search", &r.searches);
    for (size_t i = 0; i < r.servers.count; i++) {
        buf_addf(out, "nameserver " STR_FMT "\n", STR_ARG(r.servers.list[i]));
    }
    write_words(out, "options", &r.options);
    if (!is_cut) {
        return S("");
    }
    return S("Nameserver or search limits were exceeded, some entries have been omitted");
}
