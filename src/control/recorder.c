// SPDX-License-Identifier: Apache-2.0
//
// Events (spec/node.md 1.10): the same event again counts up the Event that is there; more than ten
// in ten minutes that differ in their message only become one "(combined from similar events)"; an
// object that sends too many is muted. What is remembered for this is bounded and forgotten after
// an hour.
#include "base/limits.h"
#include "base/timefmt.h"
#include "control/internal.h"

#include <stdlib.h>

#define LOG_ROOM "control"
#include "base/log.h"

enum {
    ENTRIES_MAX = 4096,    /* upstream's cache; each is under 1 KB */
    SPAM_BURST = 25,       /* events of one source about one object at once … */
    SIMILAR_MAX = 10,      /* … and similar ones before they are combined */
    NOTE_BYTES_MAX = 1024, /* of a message */
    EVENT_ARENA_MAX = 1 << 20
};
#define SPAM_REFILL   ((usec)300 * USEC_PER_SEC)
#define SIMILAR_RESET ((usec)600 * USEC_PER_SEC)
#define REPEAT_RESET  EVENT_TTL

/* An Event that may come again. */
struct repeat {
    char *name;
    int64_t count;
    usec first, last;
};

/* Messages of one source, object, type and reason. */
struct similar {
    int count;
    usec last;
};

/* Tokens of one source and object. */
struct bucket {
    double tokens;
    usec last;
};

struct recorder {
    struct loop *loop;
    struct rng *rng;
    struct client *client;
    struct map repeats; /* full key -> struct repeat */
    struct map similars;
    struct map buckets;
    uint64_t last_ns; /* of the last name: names of one turn differ */
};

static void repeat_free(void *p)
{
    struct repeat *repeat = p;
    free(repeat->name);
    free(repeat);
}

struct recorder *recorder_new(struct loop *loop, struct rng *rng, struct client *client)
{
    struct recorder *recorder = xcalloc(1, sizeof *recorder);
    recorder->loop = loop;
    recorder->rng = rng;
    recorder->client = client;
    return recorder;
}

void recorder_free(struct recorder *recorder)
{
    if (recorder == NULL) {
        return;
    }
    map_done(&recorder->repeats, repeat_free);
    map_done(&recorder->similars, free);
    map_done(&recorder->buckets, free);
    free(recorder);
}

/* --- what was sent before --- */

static bool is_muted(struct recorder *recorder, struct str key, usec now)
{
    struct bucket *bucket = map_find(&recorder->buckets, key);
    if (bucket == NULL) {
        bucket = xcalloc(1, sizeof *bucket);
        *bucket = (struct bucket){SPAM_BURST, now};
        map_put(&recorder->buckets, key, bucket);
    }
    bucket->tokens += (double)(now - bucket->last) / (double)SPAM_REFILL;
    bucket->tokens = bucket->tokens > SPAM_BURST ? SPAM_BURST : bucket->tokens;
    bucket->last = now;
    if (bucket->tokens < 1) {
        return true;
    }
    bucket->tokens -= 1;
    return false;
}

/* Counts a message that was not sent before; true = too many, combine. */
static bool is_combined(struct recorder *recorder, struct str key, bool is_known, usec now)
{
    struct similar *similar = map_find(&recorder->similars, key);
    if (similar == NULL) {
        similar = xcalloc(1, sizeof *similar);
        map_put(&recorder->similars, key, similar);
    }
    if (now - similar->last > SIMILAR_RESET) {
        similar->count = 0;
    }
    similar->last = now;
    similar->count += !is_known;
    return similar->count > SIMILAR_MAX;
}

/* --- writing --- */

struct sent {
    struct recorder *recorder;
    char *key; /* of the repeat */
};

static void forget(struct recorder *recorder, struct str key)
{
    struct repeat *repeat = map_remove(&recorder->repeats, key);
    if (repeat != NULL) {
        repeat_free(repeat);
    }
}

/* An Event that can't be counted up is gone: the next of its kind starts a new one. */
static void sent_done(void *ctx, struct object *object, const struct val *val,
                      const struct err *err)
{
    (void)object;
    (void)val;
    struct sent *sent = ctx;
    if (err != NULL) {
        forget(sent->recorder, str_of(sent->key));
        log_debug("event: %s", err->msg);
    }
    free(sent->key);
    free(sent);
}

static int send(struct recorder *recorder, const struct client_write *write, struct str key)
{
    struct sent *sent = xmalloc(sizeof *sent);
    *sent = (struct sent){recorder, xstrndup(key.p, key.n)};
    struct err err = {0};
    int r = recorder->client->ops->write(recorder->client, write, sent_done, sent, &err);
    if (r < 0) {
        sent_done(sent, NULL, NULL, &err);
    }
    return r;
}

struct text {
    struct event_source source;
    const struct val *involved;
    struct str type, reason, message;
};

static struct str event_ns(const struct text *text)
{
    struct str ns = val_text(val_get(text->involved, S("namespace")));
    return ns.n > 0 ? ns : S("default");
}

static int create_event(struct recorder *recorder, struct arena *arena, const struct text *text,
                        const struct repeat *repeat, struct str key)
{
    struct val body = val_map();
    val_set(arena, &body, S("apiVersion"), val_str(S("v1")));
    val_set(arena, &body, S("kind"), val_str(S("Event")));
    val_set_path(arena, &body, "metadata.name", val_str(str_of(repeat->name)));
    val_set_path(arena, &body, "metadata.namespace", val_str(event_ns(text)));
    val_set(arena, &body, S("involvedObject"), *text->involved);
    val_set(arena, &body, S("reason"), val_str(text->reason));
    val_set(arena, &body, S("message"), val_str(text->message));
    val_set(arena, &body, S("type"), val_str(text->type));
    struct val source = val_map();
    val_set(arena, &source, S("component"), val_str(text->source.component));
    if (text->source.host.n > 0) {
        val_set(arena, &source, S("host"), val_str(text->source.host));
    }
    val_set(arena, &body, S("source"), source);
    char now[TIME_TEXT_MAX];
    time_format(repeat->first, now);
    val_set(arena, &body, S("firstTimestamp"), val_str(str_of(now)));
    val_set(arena, &body, S("lastTimestamp"), val_str(str_of(now)));
    val_set(arena, &body, S("count"), val_int(1));
    val_set(arena, &body, S("reportingComponent"), val_str(text->source.component));
    val_set(arena, &body, S("reportingInstance"), val_str(text->source.host));
    struct client_write write = {.verb = VERB_CREATE,
                                 .kind = KIND_EVENT,
                                 .ns = event_ns(text),
                                 .name = str_of(repeat->name),
                                 .body = &body};
    return send(recorder, &write, key);
}

static int count_event(struct recorder *recorder, struct arena *arena, const struct text *text,
                       const struct repeat *repeat, struct str key)
{
    struct val body = val_map();
    char now[TIME_TEXT_MAX];
    time_format(repeat->last, now);
    val_set(arena, &body, S("count"), val_int(repeat->count));
    val_set(arena, &body, S("lastTimestamp"), val_str(str_of(now)));
    val_set(arena, &body, S("message"), val_str(text->message));
    struct client_write write = {.verb = VERB_PATCH,
                                 .patch = PATCH_MERGE,
                                 .kind = KIND_EVENT,
                                 .ns = event_ns(text),
                                 .name = str_of(repeat->name),
                                 .body = &body};
    return send(recorder, &write, key);
}

static struct repeat *new_repeat(struct recorder *recorder, const struct text *text, usec now)
{
    uint64_t ns = (uint64_t)now * 1000 + rng_below(recorder->rng, 1000);
    if (ns <= recorder->last_ns) {
        ns = recorder->last_ns + 1;
    }
    recorder->last_ns = ns;
    struct str object = val_text(val_get(text->involved, S("name")));
    struct repeat *repeat = xcalloc(1, sizeof *repeat);
    *repeat =
        (struct repeat){.name = xasprintf(STR_FMT ".%llx", STR_ARG(object), (unsigned long long)ns),
                        .count = 1,
                        .first = now,
                        .last = now};
    return repeat;
}

static void write_event(struct recorder *recorder, struct arena *arena, const struct text *text,
                        struct str key, usec now)
{
    struct repeat *repeat = map_find(&recorder->repeats, key);
    if (repeat != NULL && now - repeat->last < REPEAT_RESET) {
        repeat->count++;
        repeat->last = now;
        if (count_event(recorder, arena, text, repeat, key) == 0) {
            return;
        }
    }
    forget(recorder, key);
    if (recorder->repeats.count >= ENTRIES_MAX) {
        recorder_sweep(recorder);
    }
    repeat = new_repeat(recorder, text, now);
    if (recorder->repeats.count < ENTRIES_MAX) {
        map_put(&recorder->repeats, key, repeat);
        create_event(recorder, arena, text, repeat, key);
    } else {
        create_event(recorder, arena, text, repeat, key);
        repeat_free(repeat);
    }
}

static void send_text(struct recorder *recorder, struct arena *arena, struct text *text)
{
    usec now = loop_wall(recorder->loop);
    struct str object = arena_fmt(arena, STR_FMT "|" STR_FMT "|" STR_FMT "|" STR_FMT,
                                  STR_ARG(text->source.component), STR_ARG(text->source.host),
                                  STR_ARG(val_text(val_get(text->involved, S("uid")))),
                                  STR_ARG(val_text(val_get(text->involved, S("name")))));
    if (is_muted(recorder, object, now)) {
        return;
    }
    if (text->message.n > NOTE_BYTES_MAX) {
        text->message = arena_fmt(arena, STR_FMT " ...",
                                  STR_ARG(str_sub(text->message, 0, NOTE_BYTES_MAX - 4)));
    }
    struct str group =
        arena_fmt(arena, STR_FMT "|" STR_FMT "|" STR_FMT "|" STR_FMT, STR_ARG(object),
                  STR_ARG(val_text(val_get(text->involved, S("fieldPath")))), STR_ARG(text->type),
                  STR_ARG(text->reason));
    struct str key = arena_fmt(arena, STR_FMT "|" STR_FMT, STR_ARG(group), STR_ARG(text->message));
    bool is_known = map_find(&recorder->repeats, key) != NULL;
    if (is_combined(recorder, group, is_known, now) && !is_known) {
        text->message =
            arena_fmt(arena, "(combined from similar events): " STR_FMT, STR_ARG(text->message));
        key = group;
    }
    write_event(recorder, arena, text, key, now);
}

void recorder_send(struct recorder *recorder, struct event_source source, const struct val *body)
{
    auto_arena struct arena *arena = arena_new(EVENT_ARENA_MAX);
    struct text text = {.source = source,
                        .involved = val_get(body, S("involvedObject")),
                        .type = val_text(val_get(body, S("type"))),
                        .reason = val_text(val_get(body, S("reason"))),
                        .message = val_text(val_get(body, S("message")))};
    send_text(recorder, arena, &text);
}

void recorder_event(struct recorder *recorder, struct event_source source, const struct kind *kind,
                    const struct val *object, struct str field_path, struct str type,
                    struct str reason, struct str message)
{
    auto_arena struct arena *arena = arena_new(EVENT_ARENA_MAX);
    struct val body = *event_body(arena, kind, object, type, reason, message);
    if (field_path.n > 0) {
        val_set(arena, val_slot(&body, S("involvedObject")), S("fieldPath"), val_str(field_path));
    }
    recorder_send(recorder, source, &body);
}

/* --- forgetting --- */

static usec repeat_last(const void *p)
{
    return ((const struct repeat *)p)->last;
}

static usec similar_last(const void *p)
{
    return ((const struct similar *)p)->last;
}

static usec bucket_last(const void *p)
{
    return ((const struct bucket *)p)->last;
}

/* Buckets fill up in SPAM_BURST * SPAM_REFILL, which is longer than the hour; forgetting them a
 * little early only un-mutes. */
static void map_forget(struct map *map, usec (*last)(const void *), void (*value_free)(void *),
                       usec limit)
{
    for (size_t i = map->count; i-- > 0;) {
        if (last(map->entries[i].value) <= limit) {
            value_free(map_remove(map, map->entries[i].key));
        }
    }
}

void recorder_sweep(struct recorder *recorder)
{
    usec limit = loop_wall(recorder->loop) - EVENT_TTL;
    map_forget(&recorder->repeats, repeat_last, repeat_free, limit);
    map_forget(&recorder->similars, similar_last, free, limit);
    map_forget(&recorder->buckets, bucket_last, free, limit);
}

struct sweep {
    struct client *client;
    usec limit;
};

static bool sweep_each(void *ctx, struct object *object)
{
    const struct sweep *sweep = ctx;
    const struct val *event = object_val(object);
    static const char *const stamps[] = {"lastTimestamp", "eventTime",
                                         "metadata.creationTimestamp"};
    usec last = INT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(stamps); i++) {
        if (time_parse(val_text_at(event, stamps[i]), &last) == 0) {
            break;
        }
    }
    if (last < sweep->limit) {
        struct client_write write = {.verb = VERB_DELETE,
                                     .kind = KIND_EVENT,
                                     .ns = val_text_at(event, "metadata.namespace"),
                                     .name = val_text_at(event, "metadata.name"),
                                     .expect_uid = val_text_at(event, "metadata.uid"),
                                     .grace_seconds = -1};
        struct err err;
        if (sweep->client->ops->write(sweep->client, &write, NULL, NULL, &err) < 0) {
            log_debug("event sweep: %s", err.msg);
        }
    }
    return true;
}

void events_sweep(struct client *client, usec now_wall)
{
    struct sweep sweep = {client, now_wall - EVENT_TTL};
    client->ops->list(client, KIND_EVENT, S(""), sweep_each, &sweep);
}
