// SPDX-License-Identifier: Apache-2.0
//
// Addresses as text, strictly: four decimal parts without leading zeros (RFC 6943 3.1.1, and what
// the API accepts since Kubernetes 1.22).
#include "net/pod_net.h"

#include <stdio.h>

void ip4_format(uint32_t address, char out[static IP4_TEXT_MAX])
{
    (void)snprintf(out, IP4_TEXT_MAX, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                   address >> 8 & 255, address & 255);
}

int ip4_parse(struct str text, uint32_t *ret)
{
    uint32_t address = 0;
    int parts = 0;
    while (text.p != NULL) {
        struct str part = str_cut(&text, '.');
        uint64_t number;
        if (part.n == 0 || part.n > 3 || (part.n > 1 && part.p[0] == '0') ||
            str_to_u64(part, &number) < 0 || number > 255 || ++parts > 4) {
            return ERR_INVALID;
        }
        address = address << 8 | (uint32_t)number;
    }
    if (parts != 4) {
        return ERR_INVALID;
    }
    *ret = address;
    return 0;
}

int cidr4_parse(struct str text, uint32_t *ret_base, int *ret_prefix)
{
    struct str address = str_cut(&text, '/');
    uint32_t base;
    uint64_t prefix;
    if (text.p == NULL || text.n > 2 || (text.n == 2 && text.p[0] == '0') ||
        str_to_u64(text, &prefix) < 0 || prefix > 32 || ip4_parse(address, &base) < 0) {
        return ERR_INVALID;
    }
    *ret_base = prefix == 0 ? 0 : base & (UINT32_MAX << (32 - prefix));
    *ret_prefix = (int)prefix;
    return 0;
}
