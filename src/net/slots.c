// SPDX-License-Identifier: Apache-2.0
//
// Slots: how endpoints share the elements of the kernel's map. Pure.
//
// Highly composite counts instead of 16: 12 slots are even for 2, 3, 4 and 6 endpoints, 60 for 5
// and 10 as well and 4:3 at worst up to 20; above that 1,260 are 22:21 at 59 endpoints and still
// give each of the 1,023 pods that a bridge can hold a slot. A service with one endpoint, the most
// common kind, takes one element.
#include "net/internal.h"

#include "base/mem.h"

#include <stdlib.h>

const struct slot_class slot_classes[SLOT_CLASSES] = {
  /* offset, count */
    {0,  1   },
    {1,  12  },
    {13, 60  },
    {73, 1260},
};

size_t slot_class_of(size_t endpoints_count, bool is_sticky)
{
    if (is_sticky) {
        return endpoints_count <= 60 ? 2 : 3;
    }
    if (endpoints_count <= 1) {
        return 0;
    }
    if (12 % endpoints_count == 0) {
        return 1;
    }
    return endpoints_count <= 20 ? 2 : 3;
}

int endpoint_cmp(const struct rule_endpoint *a, const struct rule_endpoint *b)
{
    if (a->address != b->address) {
        return a->address < b->address ? -1 : 1;
    }
    return (int)a->port - (int)b->port;
}

int service_cmp(const struct rule_service *a, const struct rule_service *b)
{
    if (a->address != b->address) {
        return a->address < b->address ? -1 : 1;
    }
    if (a->protocol != b->protocol) {
        return (int)a->protocol - (int)b->protocol;
    }
    return (int)a->port - (int)b->port;
}

/* Index of endpoint in the sorted array, or count. */
static size_t endpoint_at(const struct rule_endpoint *sorted, size_t count,
                          const struct rule_endpoint *endpoint)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = endpoint_cmp(&sorted[middle], endpoint);
        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return count;
}

bool endpoint_is_in(const struct rule_endpoint *sorted, size_t count,
                    const struct rule_endpoint *endpoint)
{
    return endpoint_at(sorted, count, endpoint) < count;
}

void slots_deal(const struct rule_endpoint *endpoints, size_t endpoints_count,
                const struct rule_endpoint *were, size_t count, struct rule_endpoint *out)
{
    size_t n = endpoints_count < count ? endpoints_count : count;
    size_t share = count / n;
    size_t extra = count % n; /* so many endpoints may take one more */
    auto_free uint32_t *taken = xcalloc(n, sizeof(*taken));
    auto_free bool *is_dealt = xcalloc(count, sizeof(*is_dealt));
    for (size_t i = 0; i < count && were != NULL; i++) {
        size_t e = endpoint_at(endpoints, n, &were[i]);
        if (e == n || taken[e] > share || (taken[e] == share && extra == 0)) {
            continue;
        }
        extra -= taken[e] == share ? 1 : 0;
        taken[e]++;
        out[i] = were[i];
        is_dealt[i] = true;
    }
    size_t e = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_dealt[i]) {
            continue;
        }
        /* Those below their share are at most n steps away, and so is one to take an extra. */
        size_t steps = 0;
        while (taken[e] >= share && steps++ < n) {
            e = (e + 1) % n;
        }
        while (taken[e] > share) {
            e = (e + 1) % n;
        }
        taken[e]++;
        out[i] = endpoints[e];
        e = (e + 1) % n;
    }
}
