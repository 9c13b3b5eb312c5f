// SPDX-License-Identifier: Apache-2.0
//
// The downward API: fields and resources of a pod as text (spec/node.md 3.2).
#include "node/pod_env.h"

#include "base/limits.h"
#include "data/quantity.h"

const struct val *pod_container_spec(const struct val *pod, struct str name)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers",
                                        "spec.ephemeralContainers"};
    for (size_t k = 0; k < sizeof lists / sizeof lists[0]; k++) {
        const struct val *list = val_path(pod, lists[k]);
        for (size_t i = 0; i < val_count(list); i++) {
            if (str_eq(val_text(val_get(val_at(list, i), S("name"))), name)) {
                return val_at(list, i);
            }
        }
    }
    return NULL;
}

/* A value in Go's %q form. */
static void add_quoted(struct buf *out, struct str s)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '"' || c == '\\') {
            buf_addf(out, "\\%c", c);
        } else if (c == '\n' || c == '\t' || c == '\r') {
            buf_addf(out, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        } else if ((unsigned char)c < 0x20 || c == 0x7f) {
            buf_addf(out, "\\x%02x", (unsigned)(unsigned char)c);
        } else {
            buf_addc(out, c);
        }
    }
    buf_addc(out, '"');
}

/* Sorted lines key="value"; no closing line break. */
static struct str map_lines(const struct val *map, struct arena *arena)
{
    auto_buf struct buf out;
    buf_init(&out, BODY_BYTES_MAX);
    for (size_t i = 0; val_is(map, VAL_MAP) && i < val_count(map); i++) {
        buf_addf(&out, "%s" STR_FMT "=", i ? "\n" : "", STR_ARG(map->members[i].key));
        add_quoted(&out, val_text(&map->members[i].val));
    }
    return arena_dup(arena, buf_str(&out));
}

/* metadata.labels['k'] and metadata.annotations['k']. */
static bool keyed(const struct val *pod, struct str path, struct arena *arena, struct str *ret)
{
    static const struct {
        const char *prefix;
        const char *map;
    } maps[] = {
        {"metadata.labels['",      "metadata.labels"     },
        {"metadata.annotations['", "metadata.annotations"}
    };
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        struct str prefix = str_of(maps[i].prefix);
        if (str_starts(path, prefix) && str_ends(path, S("']"))) {
            struct str key = str_sub(path, prefix.n, path.n - 2);
            *ret = arena_dup(arena, val_text(val_get(val_path(pod, maps[i].map), key)));
            return true;
        }
    }
    return false;
}

int field_ref(const struct pod_source *source, struct str path, bool is_volume, struct arena *arena,
              struct str *ret, struct err *err)
{
    static const char *const plain[] = {
        "metadata.name", "metadata.namespace",      "metadata.uid",
        "spec.nodeName", "spec.serviceAccountName",
    };
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (str_eq(path, str_of(plain[i]))) {
            *ret = arena_dup(arena, val_text_at(source->pod, plain[i]));
            return 0;
        }
    }
    if (str_eq(path, S("status.podIP")) || str_eq(path, S("status.podIPs"))) {
        *ret = source->pod_ip;
        return 0;
    }
    if (str_eq(path, S("status.hostIP")) || str_eq(path, S("status.hostIPs"))) {
        *ret = source->host_ip;
        return 0;
    }
    if (keyed(source->pod, path, arena, ret)) {
        return 0;
    }
    if (is_volume &&
        (str_eq(path, S("metadata.labels")) || str_eq(path, S("metadata.annotations")))) {
        *ret = map_lines(val_path(source->pod, str_eq(path, S("metadata.labels"))
                                                   ? "metadata.labels"
                                                   : "metadata.annotations"),
                         arena);
        return 0;
    }
    return err_set(err, ERR_INVALID, "unsupported fieldPath: " STR_FMT, STR_ARG(path));
}

int resource_ref(const struct pod_source *source, const struct val *ref,
                 const struct val *container, struct arena *arena, struct str *ret, struct err *err)
{
    struct str name = val_text(val_get(ref, S("containerName")));
    if (name.n) {
        container = pod_container_spec(source->pod, name);
    }
    if (!container) {
        return err_set(err, ERR_NOT_FOUND, "container " STR_FMT " not found", STR_ARG(name));
    }
    struct str rest = val_text(val_get(ref, S("resource")));
    struct str which = str_cut(&rest, '.');
    bool is_limit = str_eq(which, S("limits"));
    if (!rest.p || (!is_limit && !str_eq(which, S("requests")))) {
        return err_set(err, ERR_INVALID, "unsupported resource \"" STR_FMT "\"",
                       STR_ARG(val_text(val_get(ref, S("resource")))));
    }
    const struct val *amount = val_get(val_get(val_get(container, S("resources")), which), rest);
    if (!amount && is_limit) {
        amount = val_get(source->allocatable, rest);
    }
    if (!amount) {
        *ret = S("0");
        return 0;
    }
    struct quantity value = {0};
    struct quantity divisor = {0};
    struct str divisor_text = val_text(val_get(ref, S("divisor")));
    int rc = quantity_parse(val_text(amount), &value, err);
    if (rc == 0) {
        rc = quantity_parse(divisor_text.n ? divisor_text : S("1"), &divisor, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (divisor.nano <= 0) {
        divisor.nano = 1000000000;
    }
    long long count = (long long)((value.nano + divisor.nano - 1) / divisor.nano);
    *ret = arena_fmt(arena, "%lld", count);
    return 0;
}
