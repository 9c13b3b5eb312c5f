// SPDX-License-Identifier: Apache-2.0
//
// Results and failures as HTTP replies. A Status is always plain, whatever Accept says.
#include "base/enc.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/json.h"
#include "data/yaml.h"
#include "server/internal.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <time.h>

#define LOG_ROOM "server"

enum { REPLY_HEADERS_MAX = 40, WARNINGS_BYTES_MAX = 4096 };

static void count_request(struct server *server, struct str method, int code)
{
    auto_buf struct buf key;
    buf_init(&key, 64);
    (void)buf_addf(&key, STR_FMT " %d", STR_ARG(str_sub(method, 0, 16)), code);
    uint64_t *count = map_find(&server->totals, buf_str(&key));
    if (count == NULL) {
        count = xcalloc(1, sizeof *count);
        (void)map_put(&server->totals, buf_str(&key), count);
    }
    (*count)++;
}

void job_end(struct job *job, int code)
{
    if (job->server != NULL) {
        count_request(job->server, job->route.is_resource ? verb_name(job->verb) : S("get"), code);
        list_remove(&job->node);
    }
    free(job);
}

struct str http_date(struct arena *arena, usec wall)
{
    time_t seconds = (time_t)(wall / USEC_PER_SEC);
    struct tm tm;
    char text[sizeof "Sun, 06 Nov 1994 08:49:37 GMT"] = "";
    (void)gmtime_r(&seconds, &tm);
    (void)strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return arena_dup(arena, str_of(text));
}

/* Warning: 299 - "text", quotes escaped (RFC 7234 5.5). */
static struct str warning_value(struct arena *arena, struct str text)
{
    auto_buf struct buf out;
    buf_init(&out, WARNINGS_BYTES_MAX);
    (void)buf_add(&out, S("299 - \""));
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"' || c == '\\') {
            (void)buf_addc(&out, '\\');
        }
        (void)buf_addc(&out, c < ' ' || c == 127 ? ' ' : (char)c);
    }
    (void)buf_addc(&out, '"');
    return arena_dup(arena, buf_str(&out));
}

struct http_header *reply_headers(struct job *job, struct str type, size_t *ret_count)
{
    struct http_header *headers = arena_alloc(job->arena, REPLY_HEADERS_MAX * sizeof *headers);
    size_t n = 0;
    size_t warned = 0;
    headers[n++] = (struct http_header){S("Content-Type"), type};
    headers[n++] = (struct http_header){S("Cache-Control"), S("no-cache, private")};
    for (size_t i = 0; i < job->req.warnings_count && n < REPLY_HEADERS_MAX - 8; i++) {
        struct str text = warning_value(job->arena, str_sub(job->req.warnings[i], 0, 1024));
        warned += text.n;
        if (warned <= WARNINGS_BYTES_MAX) {
            headers[n++] = (struct http_header){S("Warning"), text};
        }
    }
    *ret_count = n;
    return headers;
}

static void send(struct job *job, int code, struct http_header *headers, size_t count,
                 struct str body)
{
    struct http_exchange *x = job->x;
    job_end(job, code);
    http_reply(x, code, headers, count, body);
}

void reply_text(struct job *job, int code, struct str type, struct str body)
{
    size_t count = 0;
    struct http_header *headers = reply_headers(job, type, &count);
    headers[count++] = (struct http_header){S("X-Content-Type-Options"), S("nosniff")};
    send(job, code, headers, count, body);
}

/* JSON text in the form that was asked for, with the line feed that upstream ends with. */
static void send_json(struct job *job, int code, struct buf *json, struct http_header *headers,
                      size_t count)
{
    auto_buf struct buf out;
    struct val v;
    struct err err = {0};
    buf_init(&out, JSON_BYTES_MAX);
    if (job->accept.media != MEDIA_YAML && !job->is_pretty) {
        (void)buf_addc(json, '\n');
        send(job, code, headers, count, buf_str(json));
        return;
    }
    int r = json_read(buf_str(json), job->arena, NULL, &v, &err);
    if (r == 0 && job->accept.media == MEDIA_YAML) {
        headers[0].value = S("application/yaml");
        r = yaml_write(&out, &v, &err);
    } else if (r == 0) {
        r = json_write_pretty(&out, &v);
        (void)buf_addc(&out, '\n');
    }
    send(job, code, headers, count, r == 0 ? buf_str(&out) : buf_str(json));
}

struct status plain_status(int code, const char *reason, struct str message)
{
    return (struct status){.code = code, .reason = str_of(reason), .message = message};
}

void reply_status(struct job *job, const struct status *status)
{
    auto_buf struct buf json;
    size_t count = 0;
    struct val v = status_val(job->arena, status);
    buf_init(&json, (size_t)2 * BODY_BYTES_MAX);
    (void)json_write(&json, &v);
    struct http_header *headers = reply_headers(job, S("application/json"), &count);
    if (status->retry_after_seconds > 0) {
        headers[count++] = (struct http_header){
            S("Retry-After"), arena_fmt(job->arena, "%d", status->retry_after_seconds)};
    }
    if (status->code >= 500) {
        log_debug("%.*s %.*s: %d %.*s", STR_ARG(job->http->method), STR_ARG(job->http->target),
                  status->code, STR_ARG(status->message));
    }
    send_json(job, status->code, &json, headers, count);
}

void reply_error(struct job *job, const struct err *err)
{
    struct status status = status_of_err(job->arena, err);
    reply_status(job, &status);
}

/* {"kind":"Status",…,"status":"Success"} of a finished delete, binding or eviction. */
static void write_success(struct job *job, const struct api_result *result, struct buf *out)
{
    struct arena *arena = job->arena;
    struct val status = val_map();
    (void)val_set(arena, &status, S("kind"), val_str(S("Status")));
    (void)val_set(arena, &status, S("apiVersion"), val_str(S("v1")));
    (void)val_set(arena, &status, S("metadata"), val_map());
    (void)val_set(arena, &status, S("status"), val_str(S("Success")));
    if (result->object != NULL) {
        const struct val *obj = object_val(result->object);
        struct val *details = val_need_map(arena, &status, S("details"));
        (void)val_set(arena, details, S("name"), val_str(val_text_at(obj, "metadata.name")));
        if (job->kind->group.n > 0) {
            (void)val_set(arena, details, S("group"), val_str(job->kind->group));
        }
        (void)val_set(arena, details, S("kind"), val_str(job->kind->plural));
        (void)val_set(arena, details, S("uid"), val_str(val_text_at(obj, "metadata.uid")));
    }
    (void)json_write(out, &status);
}

static void render_result(struct job *job, const struct api_result *result, struct buf *out)
{
    struct render_options options = {
        .as = job->accept.as,
        .include_object = query_text(job, S("includeObject")),
        .is_first = true,
    };
    if (job->server != NULL) {
        options.now_wall = loop_wall(job->server->c.loop);
    }
    bool is_told = !result->is_deleted || (job->kind->flags & KIND_DELETE_RETURNS) != 0;
    if (result->is_list) {
        (void)render_list(out, job->arena, job->kind, result, &options);
    } else if (is_told && result->object != NULL) {
        (void)render_object(out, job->arena, job->kind, result->object, &options);
    } else if (is_told && result->val != NULL) {
        (void)render_val(out, job->arena, result->val, &options);
    } else {
        write_success(job, result, out);
    }
}

void reply_result(struct job *job, const struct api_result *result)
{
    if (result->status.code != 0) {
        reply_status(job, &result->status);
        return;
    }
    auto_buf struct buf json;
    size_t count = 0;
    buf_init(&json, JSON_BYTES_MAX);
    render_result(job, result, &json);
    if (json.over) {
        struct status status = plain_status(500, "InternalError", S("the result is too large"));
        reply_status(job, &status);
        return;
    }
    struct http_header *headers = reply_headers(job, S("application/json"), &count);
    send_json(job, result->code == 0 ? 200 : result->code, &json, headers, count);
}

void reply_document(struct job *job, struct str type, struct str body)
{
    unsigned char digest[SHA512_DIGEST_LENGTH];
    size_t count = 0;
    auto_buf struct buf hex;
    buf_init(&hex, sizeof digest * 2);
    (void)SHA512((const unsigned char *)body.p, body.n, digest);
    (void)hex_encode(&hex, (struct str){(const char *)digest, sizeof digest});
    struct str etag = arena_fmt(job->arena, "\"%s\"", hex.p);
    struct http_header *headers = reply_headers(job, type, &count);
    headers[count++] = (struct http_header){S("ETag"), etag};
    headers[count++] = (struct http_header){S("Vary"), S("Accept")};
    bool is_same = str_eq(http_header(job->http, S("If-None-Match")), etag);
    send(job, is_same ? 304 : 200, headers, count, is_same ? S("") : body);
}
