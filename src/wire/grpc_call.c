// SPDX-License-Identifier: Apache-2.0
//
// One grpc engine between conn and the caller.
#include "wire/grpc_call.h"

#include "base/mem.h"
#include "wire/conn.h"
#include "wire/dial.h"
#include "wire/grpc.h"

#include <stdlib.h>
#include <unistd.h>

enum { OUT_BYTES_MAX = 256 << 10, STATUS_NONE = -1 };

struct grpc_call {
    struct loop *loop;
    grpc_called_fn *done;
    void *ctx;
    struct conn *conn;
    struct grpc *grpc;
    struct timer deadline;
    struct timer later;
    struct err err;
    char address[DIAL_ADDRESS_MAX];
    bool is_connected;
};

static void call_free(struct grpc_call *call)
{
    timer_stop(&call->deadline);
    timer_stop(&call->later);
    grpc_free(call->grpc);
    conn_free(call->conn);
    free(call);
}

/* result NULL: call->err tells why there is none. */
static void finish(struct grpc_call *call, const struct grpc_result *result)
{
    struct grpc_answer answer = {.is_connected = call->is_connected, .status = STATUS_NONE};
    if (result != NULL) {
        answer.status = result->status;
        answer.message = result->message;
        answer.reply = result->reply;
    }
    timer_stop(&call->deadline);
    call->done(call->ctx, &answer, result != NULL ? NULL : &call->err);
    call_free(call);
}

static void fail(void *ctx)
{
    finish(ctx, NULL);
}

static void on_deadline(void *ctx)
{
    struct grpc_call *call = ctx;
    (void)err_set(&call->err, ERR_TIMEOUT, "context deadline exceeded");
    finish(call, NULL);
}

static void send_out(struct grpc_call *call)
{
    conn_add(call->conn, buf_str(grpc_out(call->grpc)));
    buf_clear(grpc_out(call->grpc));
}

static void on_opened(void *ctx)
{
    struct grpc_call *call = ctx;
    call->is_connected = true;
    send_out(call);
}

static void on_bytes(void *ctx, struct str bytes)
{
    struct grpc_call *call = ctx;
    struct grpc_result result;
    int r = grpc_feed(call->grpc, bytes, &result, &call->err);
    if (r == 0) {
        send_out(call);
    } else {
        finish(call, r > 0 ? &result : NULL);
    }
}

static void on_closed(void *ctx, const struct err *err)
{
    struct grpc_call *call = ctx;
    struct err why = *err;
    dial_lower(&why);
    if (!call->is_connected) {
        (void)err_set(
            &call->err, ERR_IO,
            "connection error: desc = \"transport: Error while dialing: dial tcp %s: %s\"",
            call->address, why.msg);
    } else {
        (void)err_set(&call->err, ERR_IO, "error reading from server: %s",
                      err->code == 0 ? "EOF" : why.msg);
    }
    finish(call, NULL);
}

struct grpc_call *grpc_call(struct loop *loop, const struct grpc_call_config *config,
                            grpc_called_fn *done, void *ctx)
{
    struct grpc_call *call = xcalloc(1, sizeof *call);
    call->loop = loop;
    call->done = done;
    call->ctx = ctx;
    timer_start(loop, &call->deadline, config->timeout, on_deadline, call);
    int fd = dial_tcp(config->host, config->port, call->address, &call->err);
    if (fd >= 0) {
        struct conn_config conn = {.loop = loop,
                                   .fd = fd,
                                   .is_client = true,
                                   .out_max = OUT_BYTES_MAX,
                                   .bytes = on_bytes,
                                   .closed = on_closed,
                                   .opened = on_opened,
                                   .ctx = call};
        call->grpc = grpc_new(str_of(call->address), config->path, config->message,
                              config->user_agent, &call->err);
        if (call->grpc == NULL) {
            (void)close(fd);
        } else {
            call->conn = conn_new(&conn, &call->err);
        }
    }
    if (call->conn == NULL) {
        timer_start(loop, &call->later, 0, fail, call);
    }
    return call;
}

void grpc_call_cancel(struct grpc_call *call)
{
    if (call != NULL) {
        call_free(call);
    }
}
