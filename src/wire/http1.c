// SPDX-License-Identifier: Apache-2.0
//
// The glue to llhttp: texts are gathered in one buffer with offsets (spans come in pieces) and
// become strings of an arena when the message is taken. llhttp pauses after each message, so that
// pipelined bytes stay with the caller.
#include "wire/http1.h"

#include "base/limits.h"
#include "base/mem.h"

#include <llhttp.h>
#include <stdlib.h>

struct field {
    size_t name_at, name_n;
    size_t value_at, value_n;
};

enum { FIELDS_MAX = 1000 };

struct http1 {
    llhttp_t parser;
    const llhttp_settings_t *settings;
    size_t head_max;
    size_t body_max;
    bool is_response;
    bool is_head_request;
    struct buf text; /* target, then names and values */
    size_t target_n;
    struct field *fields;
    size_t fields_count;
    struct buf body;
    bool is_begun;
    bool is_head_done;
    bool is_done;
    bool is_head_over;
    bool is_body_over;
    bool is_body_cut;
    bool expects_continue;
};

/* Callbacks of llhttp: 0 = go on, HPE_USER = stop (a ceiling). */

static struct http1 *of(llhttp_t *parser)
{
    return parser->data;
}

static int add_text(struct http1 *h, const char *p, size_t n)
{
    if (buf_add(&h->text, (struct str){p, n}) < 0) {
        h->is_head_over = true;
        return HPE_USER;
    }
    return 0;
}

static int on_begin(llhttp_t *parser)
{
    of(parser)->is_begun = true;
    return 0;
}

static int on_url(llhttp_t *parser, const char *p, size_t n)
{
    struct http1 *h = of(parser);
    h->target_n += n;
    return add_text(h, p, n);
}

static int on_field(llhttp_t *parser, const char *p, size_t n)
{
    struct http1 *h = of(parser);
    if (h->is_head_done) {
        return 0; /* trailers are dropped */
    }
    if (h->fields_count == 0 || h->fields[h->fields_count - 1].value_at != 0) {
        if (h->fields_count == FIELDS_MAX) {
            h->is_head_over = true;
            return HPE_USER;
        }
        if ((h->fields_count & (h->fields_count - 1)) == 0) {
            size_t cap = h->fields_count == 0 ? 1 : h->fields_count * 2;
            h->fields = xrealloc(h->fields, cap * sizeof *h->fields);
        }
        h->fields[h->fields_count++] = (struct field){.name_at = h->text.n};
    }
    h->fields[h->fields_count - 1].name_n += n;
    return add_text(h, p, n);
}

static int on_field_done(llhttp_t *parser)
{
    struct http1 *h = of(parser);
    if (!h->is_head_done && h->fields_count > 0) {
        /* Values start one past the text so far: 0 means "no value yet". */
        if (add_text(h, ":", 1) != 0) {
            return HPE_USER;
        }
        h->fields[h->fields_count - 1].value_at = h->text.n;
    }
    return 0;
}

static int on_value(llhttp_t *parser, const char *p, size_t n)
{
    struct http1 *h = of(parser);
    if (h->is_head_done || h->fields_count == 0) {
        return 0;
    }
    h->fields[h->fields_count - 1].value_n += n;
    return add_text(h, p, n);
}

static struct http_header field_header(const struct http1 *h, size_t i)
{
    const struct field *f = &h->fields[i];
    return (struct http_header){
        {h->text.p + f->name_at,  f->name_n },
        {h->text.p + f->value_at, f->value_n}
    };
}

static int on_headers(llhttp_t *parser)
{
    struct http1 *h = of(parser);
    h->is_head_done = true;
    for (size_t i = 0; i < h->fields_count; i++) {
        struct http_header header = field_header(h, i);
        if (str_eq_nocase(header.name, S("expect")) &&
            http1_has_token(header.value, S("100-continue"))) {
            h->expects_continue = true;
        }
    }
    if (!h->is_response && parser->content_length > h->body_max) {
        h->is_body_over = true;
        return -1; /* HPE_CB_HEADERS_COMPLETE */
    }
    return h->is_response && h->is_head_request ? 1 : 0;
}

static int on_body(llhttp_t *parser, const char *p, size_t n)
{
    struct http1 *h = of(parser);
    h->expects_continue = false;
    if (h->is_response) {
        size_t left = h->body_max - h->body.n;
        if (n > left) {
            h->is_body_cut = true;
            n = left;
        }
    }
    if (buf_add(&h->body, (struct str){p, n}) < 0) {
        h->is_body_over = true;
        return HPE_USER;
    }
    return 0;
}

static int on_complete(llhttp_t *parser)
{
    struct http1 *h = of(parser);
    if (h->is_response && parser->status_code < 200 && parser->status_code != 101) {
        /* 1xx: the real answer follows. */
        h->is_head_done = false;
        h->fields_count = 0;
        buf_clear(&h->text);
        return 0;
    }
    h->is_done = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t *settings(void)
{
    static llhttp_settings_t s;
    if (s.on_message_complete == NULL) {
        llhttp_settings_init(&s);
        s.on_message_begin = on_begin;
        s.on_url = on_url;
        s.on_header_field = on_field;
        s.on_header_field_complete = on_field_done;
        s.on_header_value = on_value;
        s.on_headers_complete = on_headers;
        s.on_body = on_body;
        s.on_message_complete = on_complete;
    }
    return &s;
}

/* Requests are read strictly, since others trust what we made of them. Answers come from whatever
 * is probed: a bare LF at the end of a header line is common there. */
static void start_parser(struct http1 *h)
{
    llhttp_init(&h->parser, h->is_response ? HTTP_RESPONSE : HTTP_REQUEST, h->settings);
    llhttp_set_lenient_headers(&h->parser, h->is_response ? 1 : 0);
    h->parser.data = h;
}

static struct http1 *http1_new(llhttp_type_t type, size_t head_max, size_t body_max)
{
    struct http1 *h = xcalloc(1, sizeof *h);
    h->settings = settings();
    h->head_max = head_max;
    h->body_max = body_max;
    h->is_response = type == HTTP_RESPONSE;
    start_parser(h);
    buf_init(&h->text, head_max);
    buf_init(&h->body, body_max);
    return h;
}

struct http1 *http1_new_request(size_t head_bytes_max, size_t body_bytes_max)
{
    return http1_new(HTTP_REQUEST, head_bytes_max, body_bytes_max);
}

struct http1 *http1_new_response(size_t head_bytes_max, size_t body_bytes_max, bool is_head)
{
    struct http1 *h = http1_new(HTTP_RESPONSE, head_bytes_max, body_bytes_max);
    h->is_head_request = is_head;
    return h;
}

void http1_free(struct http1 *h)
{
    if (h != NULL) {
        buf_done(&h->text);
        buf_done(&h->body);
        free(h->fields);
        free(h);
    }
}

static int refused(struct http1 *h, enum llhttp_errno e, struct err *err)
{
    if (h->is_head_over) {
        return err_set(err, ERR_LIMIT, "request line and headers over %zu bytes", h->head_max);
    }
    if (h->is_body_over) {
        return err_set(err, ERR_LIMIT, "limit is %zu", h->body_max);
    }
    const char *reason = llhttp_get_error_reason(&h->parser);
    return err_set(err, ERR_SYNTAX, "malformed HTTP: %s",
                   reason == NULL || reason[0] == '\0' ? llhttp_errno_name(e) : reason);
}

int http1_feed(struct http1 *h, struct str in, size_t *ret_used, struct err *err)
{
    *ret_used = 0;
    if (h->is_done) {
        return HTTP1_MESSAGE;
    }
    bool was_in_head = !h->is_head_done;
    enum llhttp_errno e = llhttp_execute(&h->parser, in.p, in.n);
    if (e == HPE_OK) {
        *ret_used = in.n;
        if (was_in_head && h->is_head_done && h->expects_continue && h->body.n == 0) {
            h->expects_continue = false;
            return HTTP1_CONTINUE;
        }
        return HTTP1_MORE;
    }
    if (h->is_done && (e == HPE_PAUSED || e == HPE_PAUSED_UPGRADE)) {
        const char *stop = llhttp_get_error_pos(&h->parser);
        *ret_used = stop == NULL ? in.n : (size_t)(stop - in.p);
        return HTTP1_MESSAGE;
    }
    return refused(h, e, err);
}

int http1_end(struct http1 *h, struct err *err)
{
    if (h->is_done) {
        return HTTP1_MESSAGE;
    }
    enum llhttp_errno e = llhttp_finish(&h->parser);
    if (h->is_done) {
        return HTTP1_MESSAGE;
    }
    return err_set(err, ERR_IO, e == HPE_OK && !h->is_begun ? "EOF" : "unexpected EOF");
}

void http1_take(struct http1 *h, struct http1_message *ret)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    *ret = (struct http1_message){.arena = arena};
    char *text = arena_alloc(arena, h->text.n + 1);
    if (h->text.n > 0) {
        memcpy(text, h->text.p, h->text.n);
    }
    ret->target = (struct str){text, h->target_n};
    ret->headers = arena_alloc(arena, (h->fields_count + 1) * sizeof *ret->headers);
    for (size_t i = 0; i < h->fields_count; i++) {
        const struct field *f = &h->fields[i];
        ret->headers[i] = (struct http_header){
            {text + f->name_at,  f->name_n },
            str_trim((struct str){text + f->value_at, f->value_n}
            )
        };
    }
    ret->headers_count = h->fields_count;
    ret->body = buf_str(&h->body);
    ret->is_body_cut = h->is_body_cut;
    if (h->is_response) {
        ret->code = h->parser.status_code;
    } else {
        ret->method =
            arena_dup(arena, str_of(llhttp_method_name((llhttp_method_t)h->parser.method)));
    }
    ret->is_keep_alive = h->is_done && llhttp_should_keep_alive(&h->parser) != 0;
    ret->is_http10 = h->parser.http_major == 1 && h->parser.http_minor == 0;
    ret->is_upgrade = h->parser.upgrade != 0;
}

bool http1_is_head_over(const struct http1 *h)
{
    return h->is_head_over;
}

bool http1_is_in_head(const struct http1 *h)
{
    return h->is_begun && !h->is_head_done;
}

bool http1_is_idle(const struct http1 *h)
{
    return !h->is_begun;
}

void http1_next(struct http1 *h)
{
    start_parser(h);
    buf_done(&h->text);
    buf_init(&h->text, h->head_max);
    buf_done(&h->body);
    buf_init(&h->body, h->body_max);
    free(h->fields);
    h->fields = NULL;
    h->fields_count = 0;
    h->target_n = 0;
    h->is_begun = h->is_head_done = h->is_done = h->is_head_over = h->is_body_over = false;
    h->is_body_cut = h->expects_continue = false;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

struct str http1_header(const struct http_header *headers, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq_nocase(headers[i].name, name)) {
            return headers[i].value;
        }
    }
    return S("");
}

bool http1_has_token(struct str value, struct str token)
{
    for (struct str rest = value; rest.p != NULL;) {
        if (str_eq_nocase(str_trim(str_cut(&rest, ',')), token)) {
            return true;
        }
    }
    return false;
}
