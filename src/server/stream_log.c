// SPDX-License-Identifier: Apache-2.0
//
// Container logs as chunked text (spec/api.md 7.7). The reply's headers wait for the first bytes or
// the end, so that a session that fails at once still answers with a Status.
#include "base/limits.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "server/stream_upgrade.h"

#include <stdlib.h>

struct log_stream {
    struct job *job;
    struct session *session;
    const struct session_ops *ops;
    struct timer begin; /* a quiet follower still gets its headers */
    bool is_begun;
    bool is_paused;
};

#define HEADERS_AFTER (100 * USEC_PER_MS)

static void begin(struct log_stream *s)
{
    if (!s->is_begun) {
        size_t count = 0;
        s->is_begun = true;
        timer_stop(&s->begin);
        struct http_header *headers = reply_headers(s->job, S("text/plain"), &count);
        http_stream_begin(s->job->x, 200, headers, count);
    }
}

static void on_begin(void *ctx)
{
    begin(ctx);
}

static void log_free(struct log_stream *s)
{
    timer_stop(&s->begin);
    s->job->server->sessions_count--;
    free(s);
}

static void on_output(void *ctx, int channel, struct str bytes)
{
    struct log_stream *s = ctx;
    (void)channel;
    begin(s);
    http_stream_write(s->job->x, bytes);
    if (!s->is_paused && http_backlog(s->job->x) > STREAM_BACKLOG_MAX) {
        s->is_paused = true;
        s->ops->pause(s->session, true);
    }
}

static void on_ended(void *ctx, int exit_code, const struct err *err)
{
    struct log_stream *s = ctx;
    struct job *job = s->job;
    struct http_exchange *x = job->x;
    (void)exit_code;
    if (!s->is_begun && err != NULL) {
        log_free(s);
        session_refuse(job, err);
        return;
    }
    begin(s);
    log_free(s);
    job_end(job, 200);
    http_stream_end(x);
}

static void log_end(struct log_stream *s)
{
    struct job *job = s->job;
    struct http_exchange *x = job->x;
    s->ops->close(s->session);
    begin(s);
    log_free(s);
    job_end(job, 200);
    http_stream_end(x);
}

static void on_closed(void *ctx)
{
    log_end(ctx);
}

static void on_drained(void *ctx)
{
    struct log_stream *s = ctx;
    if (s->is_paused) {
        s->is_paused = false;
        s->ops->pause(s->session, false);
    }
}

static void abandon(struct job *job)
{
    log_end(job->req.ctx);
}

static struct status invalid_log_option(struct job *job, const char *field, const char *detail,
                                        struct str value)
{
    struct causes causes;
    struct val v = val_str(value);
    causes_init(&causes, job->arena);
    cause_add(&causes, CAUSE_INVALID, str_of(field), &v, str_of(detail));
    struct status status =
        plain_status(422, "Invalid",
                     arena_fmt(job->arena, "PodLogOptions \"" STR_FMT "\" is invalid: %s: " STR_FMT,
                               STR_ARG(job->route.name), field, STR_ARG(causes.list[0].message)));
    status.name = job->route.name;
    status.kind = S("PodLogOptions");
    status.causes = causes.list;
    status.causes_count = causes.count;
    return status;
}

static bool read_since(struct job *job, struct session_request *request, struct status *ret)
{
    struct str time = query_text(job, S("sinceTime"));
    struct str seconds_text = query_text(job, S("sinceSeconds"));
    int64_t seconds = 0;
    if (time.n > 0 && seconds_text.n > 0) {
        *ret = invalid_log_option(job, "sinceSeconds",
                                  "at most one of `sinceTime` or `sinceSeconds` may be specified",
                                  seconds_text);
        return false;
    }
    if (!query_number(job, S("sinceSeconds"), &seconds, ret)) {
        return false;
    }
    if (seconds_text.n > 0 && (seconds < 1 || seconds > INT32_MAX)) {
        *ret = invalid_log_option(job, "sinceSeconds", "must be greater than 0", seconds_text);
        return false;
    }
    if (seconds > 0) {
        request->since_wall = loop_wall(job->server->c.loop) - seconds * USEC_PER_SEC;
    }
    if (time.n > 0 && time_parse(time, &request->since_wall) < 0) {
        *ret = status_bad_request(
            job->arena, arena_fmt(job->arena, "invalid sinceTime \"" STR_FMT "\"", STR_ARG(time)));
        return false;
    }
    return true;
}

static bool read_request(struct job *job, struct session_request *request, struct status *ret)
{
    struct str tail = query_text(job, S("tailLines"));
    struct str limit = query_text(job, S("limitBytes"));
    struct str stream = query_text(job, S("stream"));
    *request = (struct session_request){
        .kind = SESSION_LOG,
        .ns = job->route.ns,
        .pod = job->route.name,
        .container = query_text(job, S("container")),
        .is_follow = query_flag(job, S("follow")),
        .is_previous = query_flag(job, S("previous")),
        .has_timestamps = query_flag(job, S("timestamps")),
        .tail_lines = -1,
        .limit_bytes = -1,
        .stream = stream,
    };
    if (!query_number(job, S("tailLines"), &request->tail_lines, ret) ||
        !query_number(job, S("limitBytes"), &request->limit_bytes, ret) ||
        !read_since(job, request, ret)) {
        return false;
    }
    if (tail.n > 0 && request->tail_lines < 0) {
        *ret = invalid_log_option(job, "tailLines", "must be greater than or equal to 0", tail);
        return false;
    }
    if (limit.n > 0 && request->limit_bytes < 1) {
        *ret = invalid_log_option(job, "limitBytes", "must be greater than 0", limit);
        return false;
    }
    if (stream.n > 0 && !str_eq(stream, S("All")) && !str_eq(stream, S("Stdout")) &&
        !str_eq(stream, S("Stderr"))) {
        *ret = invalid_log_option(job, "stream", "must be one of All, Stdout, Stderr", stream);
        return false;
    }
    return true;
}

void serve_log(struct job *job)
{
    static const struct session_events events = {.output = on_output, .ended = on_ended};
    struct session_request request;
    struct status status = {0};
    struct err err = {0};
    if (!read_request(job, &request, &status)) {
        reply_status(job, &status);
        return;
    }
    struct log_stream *s = xcalloc(1, sizeof *s);
    s->job = job;
    s->ops = job->server->c.sessions;
    s->session = s->ops->open(job->server->c.sessions_node, &request, &events, s, &err);
    if (s->session == NULL) {
        free(s);
        session_refuse(job, &err);
        return;
    }
    job->server->sessions_count++;
    job->req.ctx = s;
    job->abandon = abandon;
    http_on_closed(job->x, on_closed, s);
    http_on_drained(job->x, on_drained, s);
    timer_start(job->server->c.loop, &s->begin, HEADERS_AFTER, on_begin, s);
}
