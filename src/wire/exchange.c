// SPDX-License-Identifier: Apache-2.0
//
// Answers: whole, as a stream, or a change of protocol. Framed by http2.h where the exchange is a
// stream of HTTP/2, else here (RFC 9112), with the headers that framing needs.
#include "base/enc.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wire/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct {
    int code;
    const char *text;
} reasons[] = {
    {101, "Switching Protocols"            },
    {200, "OK"                             },
    {201, "Created"                        },
    {202, "Accepted"                       },
    {204, "No Content"                     },
    {301, "Moved Permanently"              },
    {304, "Not Modified"                   },
    {400, "Bad Request"                    },
    {401, "Unauthorized"                   },
    {403, "Forbidden"                      },
    {404, "Not Found"                      },
    {405, "Method Not Allowed"             },
    {406, "Not Acceptable"                 },
    {409, "Conflict"                       },
    {410, "Gone"                           },
    {413, "Request Entity Too Large"       },
    {415, "Unsupported Media Type"         },
    {422, "Unprocessable Entity"           },
    {429, "Too Many Requests"              },
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"          },
    {501, "Not Implemented"                },
    {502, "Bad Gateway"                    },
    {503, "Service Unavailable"            },
    {504, "Gateway Timeout"                },
};

static const char *reason_of(int code)
{
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (reasons[i].code == code) {
            return reasons[i].text;
        }
    }
    return "Status";
}

#define DATE_TEXT_MAX sizeof "Sun, 06 Nov 1994 08:49:37 GMT"

static struct str date_text(char out[static DATE_TEXT_MAX], usec wall)
{
    time_t seconds = (time_t)(wall / USEC_PER_SEC);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm);
    size_t n = strftime(out, DATE_TEXT_MAX, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return (struct str){out, n};
}

/* Header values come from the gate; a line break in one would be a second header. */
static void add_header(struct buf *head, const struct http_header *header)
{
    (void)buf_add(head, header->name);
    (void)buf_add(head, S(": "));
    for (size_t i = 0; i < header->value.n; i++) {
        char c = header->value.p[i];
        (void)buf_addc(head, c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
    }
    (void)buf_add(head, S("\r\n"));
}

static void add_head(struct buf *head, const struct http_exchange *x, int code,
                     const struct http_header *headers, size_t count)
{
    (void)buf_addf(head, "HTTP/1.1 %d %s\r\n", code, reason_of(code));
    for (size_t i = 0; i < count; i++) {
        add_header(head, &headers[i]);
    }
    char date[DATE_TEXT_MAX];
    add_header(head, &(struct http_header){S("Date"), date_text(date, served_wall(x->served))});
}

/* The head of an answer over HTTP/2; length NULL = not known. */
static void send_head2(struct http_exchange *x, int code, const struct http_header *headers,
                       size_t count, const size_t *length, bool is_end)
{
    char date[DATE_TEXT_MAX];
    char digits[24];
    auto_arena struct arena *arena = arena_new((size_t)4 * HEADER_BYTES_MAX);
    struct http_header *all = arena_alloc(arena, (count + 2) * sizeof all[0]);
    size_t n = 0;
    for (; n < count; n++) {
        all[n] = headers[n];
    }
    all[n++] = (struct http_header){S("Date"), date_text(date, served_wall(x->served))};
    if (length != NULL) {
        (void)snprintf(digits, sizeof digits, "%zu", *length);
        all[n++] = (struct http_header){S("Content-Length"), str_of(digits)};
    }
    http2_head(x->stream, code, all, n, is_end);
}

static bool has_body(const struct http_exchange *x, int code)
{
    return !x->is_head && code != 204 && code != 304;
}

static void reply2(struct http_exchange *x, int code, const struct http_header *headers,
                   size_t count, struct str body)
{
    bool is_end = !has_body(x, code) || body.n == 0;
    send_head2(x, code, headers, count, code == 204 || code == 304 ? NULL : &body.n, is_end);
    if (!is_end) {
        http2_write(x->stream, body);
        http2_end(x->stream);
    }
}

static void end_exchange(struct http_exchange *x)
{
    struct served *served = x->served;
    bool is_keep_alive = x->is_keep_alive;
    struct http2_stream *stream = x->stream;
    exchange_free(x);
    if (stream != NULL) {
        http2_release(stream);
    } else if (served != NULL) {
        served_over(served, is_keep_alive);
    }
}

void exchange_free(struct http_exchange *x)
{
    http_forget_request(x);
    free(x);
}

void http_reply(struct http_exchange *x, int code, const struct http_header *headers, size_t count,
                struct str body)
{
    if (x->stream != NULL) {
        reply2(x, code, headers, count, body);
    } else if (x->served != NULL) {
        struct conn *conn = served_conn(x->served);
        auto_buf struct buf head;
        buf_init(&head, (size_t)2 * HEADER_BYTES_MAX);
        add_head(&head, x, code, headers, count);
        if (code != 204 && code != 304) {
            (void)buf_addf(&head, "Content-Length: %zu\r\n", body.n);
        }
        if (!x->is_keep_alive) {
            (void)buf_add(&head, S("Connection: close\r\n"));
        }
        (void)buf_add(&head, S("\r\n"));
        conn_add(conn, buf_str(&head));
        if (has_body(x, code)) {
            conn_add(conn, body);
        }
        conn_flush(conn);
    }
    end_exchange(x);
}

void http_stream_begin(struct http_exchange *x, int code, const struct http_header *headers,
                       size_t count)
{
    x->state = EXCHANGE_STREAMING;
    if (x->stream != NULL) {
        send_head2(x, code, headers, count, NULL, x->is_head);
    }
    if (x->stream != NULL || x->served == NULL) {
        return;
    }
    if (x->message.is_http10) {
        x->is_keep_alive = false;
    }
    auto_buf struct buf head;
    buf_init(&head, (size_t)2 * HEADER_BYTES_MAX);
    add_head(&head, x, code, headers, count);
    (void)buf_add(&head, x->message.is_http10 ? S("Connection: close\r\n\r\n")
                                              : S("Transfer-Encoding: chunked\r\n\r\n"));
    conn_add(served_conn(x->served), buf_str(&head));
    conn_flush(served_conn(x->served));
}

void http_stream_write(struct http_exchange *x, struct str bytes)
{
    if (x->served == NULL || x->is_head || bytes.n == 0) {
        return;
    }
    if (x->stream != NULL) {
        http2_write(x->stream, bytes);
        return;
    }
    struct conn *conn = served_conn(x->served);
    if (x->message.is_http10) {
        conn_add(conn, bytes);
    } else {
        auto_buf struct buf size;
        buf_init(&size, 32);
        (void)buf_addf(&size, "%zx\r\n", bytes.n);
        conn_add(conn, buf_str(&size));
        conn_add(conn, bytes);
        conn_add(conn, S("\r\n"));
    }
    conn_flush(conn);
    if (conn_backlog(conn) > STREAM_BACKLOG_MAX) {
        x->was_over = true;
        served_is_behind(x->served);
    }
}

void http_stream_end(struct http_exchange *x)
{
    if (x->stream != NULL) {
        http2_end(x->stream);
    } else if (x->served != NULL && !x->message.is_http10 && !x->is_head) {
        conn_add(served_conn(x->served), S("0\r\n\r\n"));
        conn_flush(served_conn(x->served));
    }
    end_exchange(x);
}

void http_forget_request(struct http_exchange *x)
{
    buf_done(&x->body);
    arena_free(x->message.arena);
    x->message = (struct http1_message){.is_http10 = x->message.is_http10};
    x->request = (struct http_request){.exchange = x};
}

size_t http_backlog(const struct http_exchange *x)
{
    if (x->stream != NULL) {
        return http2_backlog(x->stream);
    }
    return x->served == NULL ? 0 : conn_backlog(served_conn(x->served));
}

bool http_is_gone(const struct http_exchange *x)
{
    return x->served == NULL;
}

void http_on_drained(struct http_exchange *x, void (*drained)(void *ctx), void *ctx)
{
    x->drained = drained;
    x->drained_ctx = ctx;
}

void http_on_closed(struct http_exchange *x, void (*closed)(void *ctx), void *ctx)
{
    x->closed = closed;
    x->closed_ctx = ctx;
}

void http_upgrade(struct http_exchange *x, const struct http_header *headers, size_t count,
                  void (*bytes)(void *ctx, struct str bytes), void *ctx)
{
    auto_buf struct buf head;
    buf_init(&head, (size_t)2 * HEADER_BYTES_MAX);
    if (x->served != NULL) {
        add_head(&head, x, 101, headers, count);
        (void)buf_add(&head, S("\r\n"));
    }
    http_raw_begin(x, buf_str(&head), bytes, ctx);
}

void http_raw_begin(struct http_exchange *x, struct str head,
                    void (*bytes)(void *ctx, struct str bytes), void *ctx)
{
    x->state = EXCHANGE_RAW;
    x->bytes = bytes;
    x->bytes_ctx = ctx;
    x->is_keep_alive = false;
    if (x->served != NULL) {
        conn_add(served_conn(x->served), head);
        conn_flush(served_conn(x->served));
        served_raw(x->served);
    }
}

void http_raw_write(struct http_exchange *x, struct str bytes)
{
    if (x->served != NULL && bytes.n > 0) {
        struct conn *conn = served_conn(x->served);
        conn_add(conn, bytes);
        conn_flush(conn);
        x->was_over = x->was_over || conn_backlog(conn) > STREAM_BACKLOG_MAX;
    }
}

void http_raw_pause(struct http_exchange *x, bool is_paused)
{
    if (x->served != NULL) {
        conn_pause(served_conn(x->served), is_paused);
    }
}

void http_raw_close(struct http_exchange *x)
{
    end_exchange(x);
}

struct str http_header(const struct http_request *request, struct str name)
{
    return http1_header(request->headers, request->headers_count, name);
}

static bool decoded_is(struct str text, struct str want, struct buf *scratch)
{
    buf_clear(scratch);
    return percent_decode(scratch, text, true) == 0 && str_eq(buf_str(scratch), want);
}

bool http_query(const struct http_request *request, struct str name, size_t index, struct str *ret)
{
    auto_buf struct buf scratch;
    buf_init(&scratch, HEADER_BYTES_MAX);
    for (struct str rest = request->query; rest.p != NULL && rest.n > 0;) {
        struct str value = str_cut(&rest, '&');
        struct str key = str_cut(&value, '=');
        if (!decoded_is(key, name, &scratch)) {
            continue;
        }
        buf_clear(&scratch);
        if (value.p == NULL) {
            value = S("");
        }
        if (percent_decode(&scratch, value, true) < 0) {
            continue; /* as Go: a pair that can't be read isn't there */
        }
        if (index-- == 0) {
            *ret = arena_dup(request->arena, buf_str(&scratch));
            return true;
        }
    }
    return false;
}
