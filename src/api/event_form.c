// SPDX-License-Identifier: Apache-2.0
//
// See event_form.h. Fields that have one name in both forms are kept as they are.
#include "api/event_form.h"

#include "base/mem.h"

static const struct {
    const char *core;
    const char *events;
} names[] = {
    {"count",              "deprecatedCount"         },
    {"firstTimestamp",     "deprecatedFirstTimestamp"},
    {"involvedObject",     "regarding"               },
    {"lastTimestamp",      "deprecatedLastTimestamp" },
    {"message",            "note"                    },
    {"reportingComponent", "reportingController"     },
    {"source",             "deprecatedSource"        },
};

static const struct str events_version = {"events.k8s.io/v1", sizeof "events.k8s.io/v1" - 1};

bool event_is_other_form(const struct kind *kind)
{
    return str_eq(kind->group, S("events.k8s.io"));
}

static struct str other_name(struct str name, bool to_core)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq(name, str_of(to_core ? names[i].events : names[i].core))) {
            return str_of(to_core ? names[i].core : names[i].events);
        }
    }
    return name;
}

static struct val convert(struct arena *arena, const struct val *event, bool to_core)
{
    bool is_core = !str_eq(val_text(val_get(event, S("apiVersion"))), events_version);
    if (!val_is(event, VAL_MAP) || is_core == to_core) {
        return event == NULL ? val_null() : *event;
    }
    struct val out = val_map();
    for (size_t i = 0; i < event->n; i++) {
        (void)val_set(arena, &out, other_name(event->members[i].key, to_core),
                      event->members[i].val);
    }
    (void)val_set(arena, &out, S("apiVersion"), val_str(to_core ? S("v1") : events_version));
    return out;
}

struct val event_to_core(struct arena *arena, const struct val *event)
{
    return convert(arena, event, /*to_core=*/true);
}

struct val event_to_events(struct arena *arena, const struct val *event)
{
    return convert(arena, event, /*to_core=*/false);
}
