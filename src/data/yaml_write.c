// SPDX-License-Identifier: Apache-2.0
//
// YAML as kubectl prints it: block style, literal blocks for text of several lines, quotes only
// around what would be read as another type.
#include "data/yaml.h"

#include "data/yaml_scalar.h"

#include <yaml.h>

struct writer {
    yaml_emitter_t emitter;
    struct buf *out;
};

static int on_write(void *ctx, unsigned char *bytes, size_t size)
{
    struct writer *w = ctx;
    return buf_add(w->out, (struct str){(const char *)bytes, size}) == 0;
}

/* Dates and base-60 numbers are read as strings by us, but as other things elsewhere. */
static bool looks_like_time(struct str s)
{
    size_t digits = 0;
    bool has_colon = false;
    bool is_sexagesimal = s.n > 0;
    for (size_t i = 0; i < s.n; i++) {
        bool is_digit = s.p[i] >= '0' && s.p[i] <= '9';
        digits += is_digit && digits == i;
        has_colon = has_colon || s.p[i] == ':';
        is_sexagesimal = is_sexagesimal && (is_digit || strchr(":._+-", s.p[i]) != NULL);
    }
    return (digits == 4 && s.n > 4 && s.p[4] == '-') || (is_sexagesimal && has_colon);
}

static yaml_scalar_style_t style_of(struct str s)
{
    bool is_finite;
    struct val plain = yaml_plain(s, &is_finite);
    if (plain.type != VAL_STR || !is_finite || looks_like_time(s) || str_eq(s, S("<<"))) {
        return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    }
    /* libyaml doesn't keep a carriage return, or blanks at the start of a literal block. */
    bool is_odd = str_find(s, '\r') >= 0 || s.p[0] == '\n' || s.p[0] == ' ' || s.p[0] == '\t' ||
                  str_search(s, S("\xc2\x85")) >= 0 || str_search(s, S("\xe2\x80\xa8")) >= 0 ||
                  str_search(s, S("\xe2\x80\xa9")) >= 0 || str_search(s, S("\xef\xbb\xbf")) >= 0;
    if (is_odd) {
        return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    }
    return str_find(s, '\n') >= 0 ? YAML_LITERAL_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE;
}

static bool emit(struct writer *w, yaml_event_t *event, int is_made)
{
    return is_made != 0 && yaml_emitter_emit(&w->emitter, event) != 0;
}

static bool write_scalar(struct writer *w, struct str s, yaml_scalar_style_t style)
{
    yaml_event_t event;
    return emit(w, &event,
                yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)s.p, (int)s.n,
                                             /*plain_implicit=*/1, /*quoted_implicit=*/1, style));
}

static bool write_number(struct writer *w, const struct val *v)
{
    auto_buf struct buf text;
    buf_init(&text, 64);
    (void)json_write(&text, v);
    bool is_wide = v->type == VAL_DOUBLE && (v->d >= 0x1p53 || v->d <= -0x1p53);
    if (is_wide && str_search(buf_str(&text), S("e")) < 0) {
        (void)buf_add(&text, S(".0")); /* its digits alone would be read as another integer */
    }
    return write_scalar(w, buf_str(&text), YAML_PLAIN_SCALAR_STYLE);
}

static bool write_value(struct writer *w, const struct val *v);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static bool write_list(struct writer *w, const struct val *v)
{
    yaml_event_t event;
    yaml_sequence_style_t style = v->n == 0 ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
    if (!emit(w, &event, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style))) {
        return false;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        if (!write_value(w, &v->items[i])) {
            return false;
        }
    }
    return emit(w, &event, yaml_sequence_end_event_initialize(&event));
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static bool write_map(struct writer *w, const struct val *v)
{
    yaml_event_t event;
    yaml_mapping_style_t style = v->n == 0 ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE;
    if (!emit(w, &event, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style))) {
        return false;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        if (!write_scalar(w, v->members[i].key, style_of(v->members[i].key)) ||
            !write_value(w, &v->members[i].val)) {
            return false;
        }
    }
    return emit(w, &event, yaml_mapping_end_event_initialize(&event));
}

/* The depth of trees is capped by their makers. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as the document: DOC_DEPTH_MAX */
static bool write_value(struct writer *w, const struct val *v)
{
    switch ((enum val_type)v->type) {
    case VAL_LIST:
        return write_list(w, v);
    case VAL_MAP:
        return write_map(w, v);
    case VAL_STR:
        return write_scalar(w, val_text(v), style_of(val_text(v)));
    case VAL_NULL:
    case VAL_BOOL:
    case VAL_INT:
    case VAL_DOUBLE:
        break;
    }
    return write_number(w, v);
}

static bool write_document(struct writer *w, const struct val *v)
{
    yaml_event_t event;
    return emit(w, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING)) &&
           emit(w, &event,
                yaml_document_start_event_initialize(&event, NULL, NULL, NULL, /*implicit=*/1)) &&
           write_value(w, v) &&
           emit(w, &event, yaml_document_end_event_initialize(&event, /*implicit=*/1)) &&
           emit(w, &event, yaml_stream_end_event_initialize(&event));
}

int yaml_write(struct buf *out, const struct val *v, struct err *err)
{
    struct writer w = {.out = out};
    if (yaml_emitter_initialize(&w.emitter) == 0) {
        return err_set(err, ERR_INTERNAL, "the YAML emitter does not start");
    }
    yaml_emitter_set_output(&w.emitter, on_write, &w);
    yaml_emitter_set_unicode(&w.emitter, 1);
    yaml_emitter_set_width(&w.emitter, -1);
    int result = 0;
    if (!write_document(&w, v)) {
        result = out->over ? err_set(err, ERR_LIMIT, "the YAML text is over %zu bytes", out->max)
                           : err_set(err, ERR_INTERNAL, "the YAML emitter says: %s",
                                     w.emitter.problem == NULL ? "nothing" : w.emitter.problem);
    }
    yaml_emitter_delete(&w.emitter);
    return result;
}
