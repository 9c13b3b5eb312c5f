// SPDX-License-Identifier: Apache-2.0
//
// Host ports of a pod's containers: those of sidecars too, not those of init containers, which end.
#include "scheduler/host_ports.h"

struct host_port {
    struct str ip;
    struct str protocol;
    int64_t port;
};

static bool ports_clash(const struct host_port *a, const struct host_port *b)
{
    bool is_any = str_eq(a->ip, S("0.0.0.0")) || str_eq(b->ip, S("0.0.0.0"));
    return a->port == b->port && str_eq(a->protocol, b->protocol) &&
           (is_any || str_eq(a->ip, b->ip));
}

/* Calls each for every host port of a pod's containers; true = one call said so. */
static bool any_host_port(const struct val *spec,
                          bool (*each)(const void *ctx, const struct host_port *port),
                          const void *ctx)
{
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t l = 0; l < 2; l++) {
        const struct val *containers = val_get(spec, str_of(lists[l]));
        for (size_t i = 0; i < val_count(containers); i++) {
            const struct val *container = val_at(containers, i);
            bool is_sidecar = str_eq(val_text(val_get(container, S("restartPolicy"))), S("Always"));
            const struct val *ports = val_get(container, S("ports"));
            for (size_t k = 0; k < val_count(ports) && (l == 0 || is_sidecar); k++) {
                const struct val *port = val_at(ports, k);
                struct host_port host = {val_text(val_get(port, S("hostIP"))),
                                         val_text(val_get(port, S("protocol"))),
                                         val_number(val_get(port, S("hostPort")), 0)};
                host.ip = host.ip.n == 0 ? S("0.0.0.0") : host.ip;
                host.protocol = host.protocol.n == 0 ? S("TCP") : host.protocol;
                if (host.port > 0 && each(ctx, &host)) {
                    return true;
                }
            }
        }
    }
    return false;
}

static bool clashes_with(const void *ctx, const struct host_port *theirs)
{
    return ports_clash(ctx, theirs);
}

static bool is_wanted_by(const void *spec, const struct host_port *ours)
{
    return any_host_port(spec, clashes_with, ours);
}

bool host_ports_clash(const struct val *spec, const struct val *other)
{
    return any_host_port(spec, is_wanted_by, other);
}
