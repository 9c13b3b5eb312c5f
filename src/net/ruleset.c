// SPDX-License-Identifier: Apache-2.0
//
// A rule set as text. Pure; loading it is rule_loader.c's work.
#include "net/ruleset.h"

#include "net/pod_net.h"

#include <netinet/in.h>

static const char *protocol_name(uint8_t protocol)
{
    switch (protocol) {
    case IPPROTO_TCP:
        return "tcp";
    case IPPROTO_UDP:
        return "udp";
    case IPPROTO_SCTP:
        return "sctp";
    default:
        return "?";
    }
}

int ruleset_write(struct buf *out, const struct ruleset *set)
{
    char text[IP4_TEXT_MAX];
    for (size_t i = 0; i < set->services_count; i++) {
        const struct rule_service *service = &set->services[i];
        ip4_format(service->address, text);
        (void)buf_addf(out, "%s %s:%u", protocol_name(service->protocol),
                       service->address == 0 ? "*" : text, service->port);
        if (service->affinity_seconds > 0) {
            (void)buf_addf(out, " sticky %us", service->affinity_seconds);
        }
        (void)buf_add(out, service->endpoints_count == 0 ? S(" reject") : S(" ->"));
        for (size_t e = 0; e < service->endpoints_count; e++) {
            ip4_format(service->endpoints[e].address, text);
            (void)buf_addf(out, " %s:%u", text, service->endpoints[e].port);
        }
        (void)buf_addc(out, '\n');
    }
    return out->over ? ERR_LIMIT : 0;
}
