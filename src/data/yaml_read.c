// SPDX-License-Identifier: Apache-2.0
//
// YAML by libyaml's events. Aliases are copied, so that an edit of one place never shows in
// another, and the copies are counted: a few lines of aliases can ask for more than any memory.
#include "data/yaml.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "data/yaml_scalar.h"

#include <stdlib.h>
#include <yaml.h>

enum { ALIAS_NODES_MAX = 200000 };

#define TAG_PREFIX S("tag:yaml.org,2002:")

struct level {
    bool is_list;
    size_t index;
    struct str key;
};

struct reader {
    yaml_parser_t parser;
    struct arena *arena;
    const struct json_options *options;
    struct err *err;
    struct map anchors; /* name → struct val * in the arena */
    size_t alias_nodes;
    size_t depth;
    struct level levels[DOC_DEPTH_MAX];
};

static int read_node(struct reader *r, const yaml_event_t *event, struct val *ret);

static int fail_at(struct reader *r, yaml_mark_t mark, int code, const char *what)
{
    return err_set(r->err, code, "line %zu, column %zu: %s", mark.line + 1, mark.column + 1, what);
}

static int next(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event) != 0) {
        return 0;
    }
    const char *problem = r->parser.problem == NULL ? "unreadable" : r->parser.problem;
    yaml_mark_t mark = r->parser.problem_mark;
    if (r->parser.error == YAML_READER_ERROR) {
        return err_set(r->err, ERR_SYNTAX, "line %zu, column %zu: %s (byte %zu)",
                       r->parser.mark.line + 1, r->parser.mark.column + 1, problem,
                       r->parser.problem_offset);
    }
    return fail_at(r, mark, ERR_SYNTAX, problem);
}

static struct str text_of(const yaml_char_t *s)
{
    return str_of((const char *)s);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static size_t nodes_of(const struct val *v)
{
    size_t nodes = 1;
    for (uint32_t i = 0; i < val_count(v); i++) {
        nodes += nodes_of(v->type == VAL_LIST ? &v->items[i] : &v->members[i].val);
    }
    return nodes;
}

static int read_alias(struct reader *r, const yaml_event_t *event, struct val *ret)
{
    const struct val *v = map_find(&r->anchors, text_of(event->data.alias.anchor));
    if (v == NULL) {
        return fail_at(r, event->start_mark, ERR_SYNTAX, "unknown anchor");
    }
    r->alias_nodes += nodes_of(v);
    if (r->alias_nodes > ALIAS_NODES_MAX || arena_is_over(r->arena)) {
        return fail_at(r, event->start_mark, ERR_LIMIT, "document contains excessive aliasing");
    }
    if (r->depth + val_depth(v) > DOC_DEPTH_MAX) {
        return fail_at(r, event->start_mark, ERR_LIMIT, "nested deeper than 64 levels");
    }
    *ret = val_copy(r->arena, v);
    return 0;
}

static void anchor_set(struct reader *r, const yaml_char_t *name, const struct val *v)
{
    if (name != NULL) {
        struct val *kept = arena_alloc(r->arena, sizeof *kept);
        *kept = val_copy(r->arena, v); /* edits by merge keys above must not reach it */
        (void)map_put(&r->anchors, text_of(name), kept);
    }
}

static int read_scalar(struct reader *r, const yaml_event_t *event, struct val *ret)
{
    struct str raw = {(const char *)event->data.scalar.value, event->data.scalar.length};
    struct str tag = text_of(event->data.scalar.tag);
    struct str kind = str_starts(tag, TAG_PREFIX) ? str_sub(tag, TAG_PREFIX.n, tag.n) : S("");
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    static const char *const typed[] = {"int", "float", "bool", "null"};
    bool is_typed = false;
    for (size_t i = 0; i < ARRAY_LEN(typed); i++) {
        is_typed = is_typed || str_eq(kind, str_of(typed[i]));
    }
    if (tag.n > 0 && !str_eq(tag, S("!")) && !is_typed && !str_eq(kind, S("str")) &&
        !str_eq(kind, S("timestamp"))) {
        return fail_at(r, event->start_mark, ERR_SYNTAX, "a custom tag");
    }
    *ret = val_str(arena_dup(r->arena, raw));
    if (is_typed || (is_plain && tag.n == 0)) {
        bool is_finite;
        *ret = yaml_plain(val_text(ret), &is_finite);
        if (!is_finite) {
            return fail_at(r, event->start_mark, ERR_SYNTAX, "a number that JSON can't hold");
        }
    }
    return 0;
}

/* Keys become strings as sigs.k8s.io/yaml makes them. */
static int key_text(struct reader *r, const yaml_event_t *event, const struct val *key,
                    struct str *ret)
{
    auto_buf struct buf out;
    buf_init(&out, 64);
    switch ((enum val_type)key->type) {
    case VAL_STR:
        *ret = val_text(key);
        return 0;
    case VAL_BOOL:
    case VAL_INT:
    case VAL_DOUBLE:
        (void)json_write(&out, key);
        *ret = arena_dup(r->arena, buf_str(&out));
        return 0;
    case VAL_NULL:
    case VAL_LIST:
    case VAL_MAP:
        break;
    }
    return fail_at(r, event->start_mark, ERR_SYNTAX, "a map key that is no scalar");
}

static void report_duplicate(struct reader *r, struct str key)
{
    if (r->options == NULL || r->options->duplicate == NULL) {
        return;
    }
    struct str path = S("");
    for (size_t i = 0; i + 1 < r->depth; i++) {
        const struct level *l = &r->levels[i];
        path = l->is_list ? arena_fmt(r->arena, STR_FMT "[%zu]", STR_ARG(path), l->index)
                          : arena_fmt(r->arena, STR_FMT "%s" STR_FMT, STR_ARG(path),
                                      path.n == 0 ? "" : ".", STR_ARG(l->key));
    }
    path = arena_fmt(r->arena, STR_FMT "%s" STR_FMT, STR_ARG(path), path.n == 0 ? "" : ".",
                     STR_ARG(key));
    r->options->duplicate(r->options->ctx, path);
}

/* Members of a map in order of appearance, sorted once at the end: setting them one by one in a
 * sorted map would be quadratic. */
struct pair {
    struct member member;
    size_t order;
};

static int by_key_and_order(const void *a, const void *b)
{
    const struct pair *x = a;
    const struct pair *y = b;
    int order = str_cmp(x->member.key, y->member.key);
    return order != 0 ? order : x->order < y->order ? -1 : x->order > y->order;
}

static struct val map_of(struct reader *r, struct pair *pairs, size_t count)
{
    struct val map = val_map();
    if (count == 0) {
        return map;
    }
    qsort(pairs, count, sizeof *pairs, by_key_and_order);
    map.members = arena_alloc(r->arena, count * sizeof *map.members);
    for (size_t i = 0; i < count; i++) {
        bool is_same = map.n > 0 && str_eq(map.members[map.n - 1].key, pairs[i].member.key);
        if (is_same) {
            report_duplicate(r, pairs[i].member.key);
            map.n--;
        }
        map.members[map.n++] = pairs[i].member;
    }
    return map;
}

/* Merge keys (<<): what the map and earlier merges don't hold. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int merge(struct reader *r, struct val *map, const struct val *from,
                 const yaml_event_t *event)
{
    if (from->type == VAL_LIST) {
        for (uint32_t i = 0; i < from->n; i++) {
            if (from->items[i].type != VAL_MAP) {
                return fail_at(r, event->start_mark, ERR_SYNTAX,
                               "map merge requires map or sequence of maps as the value");
            }
            (void)merge(r, map, &from->items[i], event);
        }
        return 0;
    }
    if (from->type != VAL_MAP) {
        return fail_at(r, event->start_mark, ERR_SYNTAX,
                       "map merge requires map or sequence of maps as the value");
    }
    for (uint32_t i = 0; i < from->n; i++) {
        if (val_get(map, from->members[i].key) == NULL) {
            (void)val_set(r->arena, map, from->members[i].key, from->members[i].val);
        }
    }
    return 0;
}

static bool is_merge_key(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT &&
           event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           str_eq(text_of(event->data.scalar.value), S("<<"));
}

/* One key with its value; a merge key's value goes into merges. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int read_pair(struct reader *r, const yaml_event_t *key_event, struct pair *ret,
                     struct val *merges, bool *ret_is_merge)
{
    struct val key;
    if (read_node(r, key_event, &key) < 0 || key_text(r, key_event, &key, &ret->member.key) < 0) {
        return r->err->code;
    }
    r->levels[r->depth - 1].key = ret->member.key;
    yaml_event_t event;
    if (next(r, &event) < 0) {
        return r->err->code;
    }
    *ret_is_merge = is_merge_key(key_event);
    int result = read_node(r, &event, &ret->member.val);
    if (result == 0 && *ret_is_merge) {
        result = merge(r, merges, &ret->member.val, key_event);
    }
    yaml_event_delete(&event);
    return result;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int read_map(struct reader *r, struct val *ret)
{
    auto_free struct pair *pairs = NULL;
    size_t count = 0;
    size_t cap = 0;
    struct val merges = val_map();
    for (;;) {
        yaml_event_t event;
        if (next(r, &event) < 0) {
            return r->err->code;
        }
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            break;
        }
        if (count == cap) {
            cap = cap == 0 ? 8 : cap * 2;
            pairs = xrealloc(pairs, cap * sizeof *pairs);
        }
        bool is_merge = false;
        pairs[count].order = count;
        int result = read_pair(r, &event, &pairs[count], &merges, &is_merge);
        yaml_event_delete(&event);
        if (result < 0) {
            return result;
        }
        count += !is_merge;
    }
    *ret = map_of(r, pairs, count);
    for (uint32_t i = 0; i < merges.n; i++) {
        if (val_get(ret, merges.members[i].key) == NULL) {
            (void)val_set(r->arena, ret, merges.members[i].key, merges.members[i].val);
        }
    }
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int read_list(struct reader *r, struct val *ret)
{
    *ret = val_list();
    for (;;) {
        yaml_event_t event;
        if (next(r, &event) < 0) {
            return r->err->code;
        }
        bool is_end = event.type == YAML_SEQUENCE_END_EVENT;
        struct val item;
        int result = is_end ? 0 : read_node(r, &event, &item);
        yaml_event_delete(&event);
        if (is_end || result < 0) {
            return result;
        }
        (void)val_push(r->arena, ret, item);
        r->levels[r->depth - 1].index++;
    }
}

/* Recursion is capped here. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int read_container(struct reader *r, const yaml_event_t *event, struct val *ret)
{
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
    const yaml_char_t *tag =
        is_list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    if (tag != NULL && !str_eq(text_of(tag), S("!")) &&
        !str_eq(text_of(tag), is_list ? S(YAML_SEQ_TAG) : S(YAML_MAP_TAG))) {
        return fail_at(r, event->start_mark, ERR_SYNTAX, "a custom tag");
    }
    if (r->depth == DOC_DEPTH_MAX) {
        return fail_at(r, event->start_mark, ERR_LIMIT, "nested deeper than 64 levels");
    }
    if (arena_is_over(r->arena)) {
        return fail_at(r, event->start_mark, ERR_LIMIT, "the document takes too much memory");
    }
    r->levels[r->depth++] = (struct level){.is_list = is_list};
    int result = is_list ? read_list(r, ret) : read_map(r, ret);
    r->depth--;
    return result;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static int read_node(struct reader *r, const yaml_event_t *event, struct val *ret)
{
    const yaml_char_t *anchor = NULL;
    int result;
    if (event->type == YAML_ALIAS_EVENT) {
        return read_alias(r, event, ret);
    }
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        result = read_scalar(r, event, ret);
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        result = read_container(r, event, ret);
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        result = read_container(r, event, ret);
    } else {
        return fail_at(r, event->start_mark, ERR_SYNTAX, "expected a value");
    }
    if (result == 0) {
        anchor_set(r, anchor, ret);
    }
    return result;
}

/* Skips the start of stream and document; an empty stream is null. */
static int read_document(struct reader *r, struct val *ret)
{
    for (;;) {
        yaml_event_t event;
        if (next(r, &event) < 0) {
            return r->err->code;
        }
        bool is_start =
            event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT;
        int result = 0;
        if (event.type == YAML_STREAM_END_EVENT) {
            *ret = val_null();
        } else if (!is_start) {
            result = read_node(r, &event, ret);
        }
        yaml_event_delete(&event);
        if (!is_start) {
            return result;
        }
    }
}

/* What follows the root within the document must be readable too. */
static int read_end(struct reader *r)
{
    yaml_event_t event;
    if (next(r, &event) < 0) {
        return r->err->code;
    }
    yaml_event_delete(&event);
    return 0;
}

int yaml_read(struct str text, struct arena *arena, const struct json_options *options,
              struct val *ret, struct err *err)
{
    struct reader r = {.arena = arena, .options = options, .err = err};
    if (str_starts(text, S("\xef\xbb\xbf"))) {
        text = str_sub(text, 3, text.n);
    }
    if (yaml_parser_initialize(&r.parser) == 0) {
        return err_set(err, ERR_INTERNAL, "the YAML parser does not start");
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.n == 0 ? "" : text.p),
                                 text.n);
    struct val root;
    int result = read_document(&r, &root);
    if (result == 0) {
        result = read_end(&r);
    }
    yaml_parser_delete(&r.parser);
    map_done(&r.anchors, NULL);
    if (result == 0) {
        *ret = root;
    }
    return result;
}
