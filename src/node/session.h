// SPDX-License-Identifier: Apache-2.0
//
// What the kinds of sessions share. Not for the rest of the room: that is sessions.h.
//
// A kind embeds struct session first and fills a session_class. It talks to the client through
// session_output and session_end, both only from the loop's callbacks; after either it looks at
// is_over, because the client may close from inside. Memory is freed at the end of the turn, so a
// callback may finish after that.
#ifndef CORACLE_NODE_SESSION_H
#define CORACLE_NODE_SESSION_H

#include "base/list.h"
#include "node/runtime_conmon.h"
#include "node/sessions.h"

enum { SESSION_CHUNK = 64 << 10 };

struct sessions {
    struct loop *loop;
    struct runtime *runtime;
    const struct oci_command *oci; /* NULL = no exec here */
    struct pod_lookup lookup;
    struct list list;
    uint64_t serial;
    int inotify_fd; /* log followers share one: users have 128 */
    struct io *inotify_io;
    char chunk[SESSION_CHUNK];
};

struct session_class {
    void (*input)(struct session *s, struct str bytes, bool is_end);
    void (*resize)(struct session *s, int width, int height);
    void (*pause)(struct session *s, bool is_paused);
    size_t (*backlog)(const struct session *s);
    void (*stop)(struct session *s); /* lets go of everything; the memory is freed later */
};

struct session {
    struct list node;
    struct sessions *owner;
    const struct session_class *class;
    struct session_events events;
    void *ctx;
    bool is_paused;
    bool is_over;
    bool is_working; /* a pool thread has it: freed when that is done */
    struct timer timer;
};

/* Enters a session that was allocated with xcalloc. */
void session_init(struct session *s, struct sessions *owner, const struct session_class *class,
                  const struct session_events *events, void *ctx);
/* False when the client closed from inside. */
bool session_output(struct session *s, int channel, struct str bytes);
void session_end(struct session *s, int exit_code, const struct err *err);
/* Pool work of an over session is done. */
void session_release(struct session *s);

/* A descriptor that is read for the client. read returns what came: > 0, 0 = end, -1 = none now. */
struct session_source {
    struct session *session;
    int channel; /* 0: packets whose first byte tells it (conmon's attach socket) */
    int fd;
    struct io *io;
    bool is_open;
    void (*ended)(struct session *s);
};
MUST_CHECK int source_start(struct session_source *source, struct session *s, int fd, int channel,
                            void (*ended)(struct session *s), struct err *err);
int source_read(struct session_source *source);
void source_pause(struct session_source *source, bool is_paused);
void source_stop(struct session_source *source);

/* A descriptor that the client's input goes to. */
struct session_sink {
    struct session *session;
    int fd; /* -1: not there yet, input waits; or gone, input is dropped (is_closed) */
    struct io *io;
    struct buf backlog;
    bool is_socket; /* ends by shutdown, not by close */
    bool is_end;
    bool is_closed;
    bool was_full;
};
void sink_init(struct session_sink *sink, struct session *s, bool is_socket);
MUST_CHECK int sink_start(struct session_sink *sink, int fd, struct err *err);
/* Too much waiting input ends the session: false. */
bool sink_put(struct session_sink *sink, struct str bytes, bool is_end);
void sink_stop(struct session_sink *sink);

struct session *session_exec_open(struct sessions *owner, const struct session_request *request,
                                  const struct session_events *events, void *ctx, struct err *err);
struct session *session_attach_open(struct sessions *owner, const struct session_request *request,
                                    const struct session_events *events, void *ctx,
                                    struct err *err);
struct session *session_log_open(struct sessions *owner, const struct session_request *request,
                                 const struct session_events *events, void *ctx, struct err *err);
struct session *session_forward_open(struct sessions *owner, const struct session_request *request,
                                     const struct session_events *events, void *ctx,
                                     struct err *err);
/* The shared inotify is readable. */
void session_log_wake(void *ctx, int events);

#endif
