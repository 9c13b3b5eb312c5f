// SPDX-License-Identifier: Apache-2.0
//
// Two protobuf messages of one field each, by hand.
#include "node/probe_grpc.h"

#include "base/mem.h"

enum { GRPC_DEADLINE_EXCEEDED = 4, GRPC_UNIMPLEMENTED = 12, SERVING = 1, TAG_STATUS = 0x08 };
enum { TAG_SERVICE = 0x0a, SERVICE_BYTES_MAX = 4096 };

static const char *const codes[] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

struct str grpc_health_request(struct str service, struct arena *arena)
{
    service = str_sub(service, 0, SERVICE_BYTES_MAX);
    char head[3] = {TAG_SERVICE, (char)(service.n & 0x7f), (char)(service.n >> 7)};
    size_t head_n = 2;
    if (service.n == 0) {
        return S("");
    }
    if (service.n > 0x7f) {
        head[1] = (char)(service.n | 0x80);
        head_n = 3;
    }
    char *out = arena_alloc(arena, head_n + service.n);
    memcpy(out, head, head_n);
    memcpy(out + head_n, service.p, service.n);
    return (struct str){out, head_n + service.n};
}

/* HealthCheckResponse.status; absent is UNKNOWN. */
static int reply_status(struct str reply)
{
    return reply.n >= 2 && reply.p[0] == TAG_STATUS ? (unsigned char)reply.p[1] : 0;
}

bool grpc_health_words(const struct grpc_answer *answer, const struct err *err, struct str address,
                       const char *timeout, struct arena *arena, struct str *ret_output)
{
    static const char *const states[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    int state = reply_status(answer->reply);
    size_t code = (size_t)answer->status;
    if (err && !answer->is_connected) {
        *ret_output =
            arena_fmt(arena, "timeout: failed to connect service \"" STR_FMT "\" within %s: %s",
                      STR_ARG(address), timeout, err->msg);
    } else if ((err && err->code == ERR_TIMEOUT) || (!err && code == GRPC_DEADLINE_EXCEEDED)) {
        *ret_output = arena_fmt(arena, "timeout: health rpc did not complete within %s", timeout);
    } else if (err) {
        *ret_output = arena_fmt(arena,
                                "error: health rpc probe failed: rpc error: code = "
                                "Unavailable desc = %s",
                                err->msg);
    } else if (code == GRPC_UNIMPLEMENTED) {
        *ret_output = arena_fmt(arena,
                                "error: this server does not implement the grpc health "
                                "protocol (grpc.health.v1.Health): " STR_FMT,
                                STR_ARG(answer->message));
    } else if (code != 0) {
        *ret_output =
            arena_fmt(arena,
                      "error: health rpc probe failed: rpc error: code = %s "
                      "desc = " STR_FMT,
                      code < ARRAY_LEN(codes) ? codes[code] : "Unknown", STR_ARG(answer->message));
    } else if (state != SERVING) {
        bool is_named = state < (int)ARRAY_LEN(states);
        *ret_output = arena_fmt(arena, "service unhealthy (responded with \"%s\")",
                                is_named ? states[state] : states[0]);
    } else {
        return true;
    }
    return false;
}
