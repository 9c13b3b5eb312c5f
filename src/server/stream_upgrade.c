// SPDX-License-Identifier: Apache-2.0
#include "server/stream_upgrade.h"

#include "base/mem.h"
#include "data/json.h"
#include "wire/http1.h"
#include "wire/ws.h"

enum { UPGRADE_HEADERS = 4 };

enum upgrade upgrade_of(const struct job *job)
{
    struct str upgrade = http_header(job->http, S("Upgrade"));
    if (!http1_has_token(http_header(job->http, S("Connection")), S("upgrade"))) {
        return UPGRADE_NONE;
    }
    if (http1_has_token(upgrade, S("websocket")) &&
        http_header(job->http, S("Sec-WebSocket-Key")).n > 0) {
        return UPGRADE_WEBSOCKET;
    }
    return http1_has_token(upgrade, S("SPDY/3.1")) ? UPGRADE_SPDY : UPGRADE_NONE;
}

int upgrade_choose_ws(const struct job *job, const struct str *names, size_t count)
{
    bool has_offer = false;
    for (size_t i = 0; i < job->http->headers_count; i++) {
        if (!str_eq_nocase(job->http->headers[i].name, S("Sec-WebSocket-Protocol"))) {
            continue;
        }
        for (struct str rest = job->http->headers[i].value; rest.p != NULL;) {
            struct str name = str_trim(str_cut(&rest, ','));
            if (name.n == 0) {
                continue;
            }
            has_offer = true;
            for (size_t k = 0; k < count; k++) {
                if (str_eq(names[k], name)) {
                    return (int)k;
                }
            }
        }
    }
    for (size_t k = 0; k < count && !has_offer; k++) {
        if (names[k].n == 0) {
            return (int)k;
        }
    }
    return -1;
}

bool upgrade_offers_spdy(const struct job *job, struct str name)
{
    for (size_t i = 0; i < job->http->headers_count; i++) {
        if (str_eq_nocase(job->http->headers[i].name, S("X-Stream-Protocol-Version")) &&
            http1_has_token(job->http->headers[i].value, name)) {
            return true;
        }
    }
    return false;
}

void upgrade_ws(struct job *job, struct str protocol, void (*bytes)(void *ctx, struct str bytes),
                void *ctx)
{
    auto_buf struct buf key;
    buf_init(&key, 256);
    (void)ws_accept_key(&key, http_header(job->http, S("Sec-WebSocket-Key")));
    struct http_header headers[UPGRADE_HEADERS] = {
        {S("Upgrade"),                S("websocket")},
        {S("Connection"),             S("Upgrade")  },
        {S("Sec-WebSocket-Accept"),   buf_str(&key) },
        {S("Sec-WebSocket-Protocol"), protocol      },
    };
    http_upgrade(job->x, headers, protocol.n > 0 ? UPGRADE_HEADERS : UPGRADE_HEADERS - 1, bytes,
                 ctx);
}

void upgrade_spdy(struct job *job, struct str protocol, void (*bytes)(void *ctx, struct str bytes),
                  void *ctx)
{
    struct http_header headers[] = {
        {S("Connection"),                S("Upgrade") },
        {S("Upgrade"),                   S("SPDY/3.1")},
        {S("X-Stream-Protocol-Version"), protocol     },
    };
    http_upgrade(job->x, headers, ARRAY_LEN(headers), bytes, ctx);
}

void upgrade_refuse(struct job *job)
{
    struct status status = status_bad_request(job->arena, S("Upgrade request required"));
    reply_status(job, &status);
}

void upgrade_refuse_spdy(struct job *job, struct str accepted)
{
    struct http_header headers[] = {
        {S("X-Accepted-Stream-Protocol-Versions"), accepted                      },
        {S("Content-Type"),                        S("text/plain; charset=utf-8")},
    };
    struct http_exchange *x = job->x;
    job_end(job, 403);
    http_reply(x, 403, headers, ARRAY_LEN(headers),
               S("unable to upgrade: unable to negotiate protocol\n"));
}

void session_refuse(struct job *job, const struct err *err)
{
    struct status status = status_of_err(job->arena, err);
    if (err->code == ERR_INVALID) {
        status = status_bad_request(job->arena, arena_dup(job->arena, str_of(err->msg)));
    } else if (err->code == ERR_UNSUPPORTED) {
        status = plain_status(501, "NotImplemented", arena_dup(job->arena, str_of(err->msg)));
    }
    reply_status(job, &status);
}

static struct val exit_details(struct arena *arena, int exit_code)
{
    struct val cause = val_map();
    struct val causes = val_list();
    struct val details = val_map();
    (void)val_set(arena, &cause, S("reason"), val_str(S("ExitCode")));
    (void)val_set(arena, &cause, S("message"), val_str(arena_fmt(arena, "%d", exit_code)));
    (void)val_push(arena, &causes, cause);
    (void)val_set(arena, &details, S("causes"), causes);
    return details;
}

void session_status(struct buf *out, struct arena *arena, int exit_code, const struct err *err)
{
    struct val status = val_map();
    bool is_success = err == NULL && exit_code == 0;
    (void)val_set(arena, &status, S("metadata"), val_map());
    (void)val_set(arena, &status, S("status"), val_str(is_success ? S("Success") : S("Failure")));
    if (err != NULL) {
        (void)val_set(arena, &status, S("message"), val_str(arena_dup(arena, str_of(err->msg))));
        (void)val_set(arena, &status, S("reason"), val_str(S("InternalError")));
        (void)val_set(arena, &status, S("code"), val_int(500));
    } else if (!is_success) {
        (void)val_set(
            arena, &status, S("message"),
            val_str(arena_fmt(arena, "command terminated with non-zero exit code: exit code %d",
                              exit_code)));
        (void)val_set(arena, &status, S("reason"), val_str(S("NonZeroExitCode")));
        (void)val_set(arena, &status, S("details"), exit_details(arena, exit_code));
    }
    (void)json_write(out, &status);
}
