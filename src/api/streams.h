// SPDX-License-Identifier: Apache-2.0
//
// Exec, attach, logs and port-forward as one idea, a session: bytes go in on stdin, come out on
// numbered channels, and it ends once. node/ offers sessions, server/ carries them over WebSocket,
// SPDY and plain HTTP; neither sees the other.
#ifndef CORACLE_API_STREAMS_H
#define CORACLE_API_STREAMS_H

#include "base/clock.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct session;

enum session_kind { SESSION_EXEC, SESSION_ATTACH, SESSION_LOG, SESSION_FORWARD };

struct session_request {
    enum session_kind kind;
    struct str ns;
    struct str pod;
    struct str container; /* empty = the only one, or the default-container annotation */
    /* exec, attach */
    const struct str *command;
    size_t command_count;
    bool has_stdin, has_stdout, has_stderr, has_tty;
    /* port-forward */
    uint16_t port;
    /* logs (spec/node.md 6) */
    bool is_follow, is_previous, has_timestamps;
    int64_t tail_lines;  /* -1 = all */
    int64_t limit_bytes; /* -1 = all */
    usec since_wall;     /* 0 = all */
    struct str stream;   /* "All", "Stdout", "Stderr"; empty = All */
};

enum { SESSION_STDOUT = 1, SESSION_STDERR = 2 };

/* Called from the loop, never from inside a call of session_ops. */
struct session_events {
    /* Bytes of a channel (a port-forward's data are SESSION_STDOUT). Borrowed for the call. */
    void (*output)(void *ctx, int channel, struct str bytes);
    /* The end, once; nothing comes after it and the session is freed when it returns. err NULL: the
     * command ended with exit_code (0 for logs and port-forward). */
    void (*ended)(void *ctx, int exit_code, const struct err *err);
    /* The input that waited (session_ops.backlog) is taken: send more. NULL = not interested. */
    void (*drained)(void *ctx);
};

struct session_ops {
    /* ERR_NOT_FOUND, ERR_INVALID (400 with this message) and others before anything was started. */
    struct session *(*open)(void *node, const struct session_request *request,
                            const struct session_events *events, void *ctx, struct err *err);
    void (*input)(struct session *session, struct str bytes, bool is_end);
    void (*resize)(struct session *session, int width, int height);
    /* Stops (true) and restarts the output: the client is slow. */
    void (*pause)(struct session *session, bool is_paused);
    /* The client is gone; no event comes any more, not even ended. */
    void (*close)(struct session *session);
    /* Bytes of input that wait to be taken. Above STREAM_BACKLOG_MAX the caller stops reading its
     * client until `drained` comes; more than four times that ends the session with ERR_LIMIT. */
    size_t (*backlog)(const struct session *session);
};

#endif
