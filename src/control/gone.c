// SPDX-License-Identifier: Apache-2.0
//
// Which owned objects went away a moment ago, by key: a decider that makes a name anew may want to
// let watchers see the old one's end first. Nothing here outlives the process: who restarts has
// lost its watchers too.
#include "control/internal.h"

#include <stdlib.h>

struct departure {
    struct list node; /* by time */
    struct str key;   /* of the map */
    usec at;
};

void gone_init(struct gone *gone)
{
    *gone = (struct gone){0};
    list_init(&gone->by_time);
}

static void forget(struct gone *gone, struct departure *departure)
{
    list_remove(&departure->node);
    map_remove(&gone->by_key, departure->key);
    free(departure);
}

void gone_done(struct gone *gone)
{
    map_done(&gone->by_key, free);
    list_init(&gone->by_time);
}

void gone_sweep(struct gone *gone, usec now)
{
    while (!list_empty(&gone->by_time)) {
        struct departure *oldest = container_of(gone->by_time.next, struct departure, node);
        if (now - oldest->at < VIEW_GONE_KEPT) {
            return;
        }
        forget(gone, oldest);
    }
}

void gone_add(struct gone *gone, struct str key, usec now)
{
    struct departure *before = map_find(&gone->by_key, key);
    if (before != NULL) {
        forget(gone, before);
    }
    gone_sweep(gone, now);
    struct departure *departure = xmalloc(sizeof *departure);
    map_put(&gone->by_key, key, departure);
    departure->key = gone->by_key.entries[map_seek(&gone->by_key, key)].key;
    departure->at = now;
    list_init(&departure->node);
    list_add_tail(&gone->by_time, &departure->node);
}

usec gone_since(const struct gone *gone, struct str key)
{
    const struct departure *departure = map_find(&gone->by_key, key);
    return departure == NULL ? -VIEW_GONE_KEPT : departure->at;
}
