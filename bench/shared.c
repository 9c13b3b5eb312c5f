// SPDX-License-Identifier: Apache-2.0
//
// Watches that share a connection of HTTP/2, as client-go's do: opened one by one, never read
// beyond their heads.
#include "wire.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

static int answered;

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    (void)session;
    (void)ctx;
    answered += frame->hd.type == NGHTTP2_HEADERS;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *ctx)
{
    (void)session;
    (void)ctx;
    die("watch %d ended with code %u", (int)stream, (unsigned)code);
    return 0;
}

static void send_frames(struct wire *wire, nghttp2_session *session)
{
    const uint8_t *bytes;
    for (ssize_t n = 1; n > 0;) {
        n = nghttp2_session_mem_send(session, &bytes);
        if (n > 0) {
            wire_write(wire, bytes, (size_t)n);
        }
    }
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = strlen(value)};
}

void share_watches(const char *path, int count)
{
    const nghttp2_nv head[] = {field(":method", "GET"), field(":scheme", "https"),
                               field(":path", path), field(":authority", "127.0.0.1")};
    struct wire *wire = wire_open_as("h2");
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        die("no memory");
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_client_new(&session, callbacks, NULL) != 0 ||
        nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0) != 0) {
        die("no HTTP/2");
    }
    for (int i = 0, before = answered; i < count; i++, before = answered) {
        (void)nghttp2_submit_request(session, NULL, head, 4, NULL, NULL);
        send_frames(wire, session);
        while (answered == before) {
            unsigned char bytes[4096];
            size_t n = wire_read(wire, bytes, sizeof bytes);
            if (nghttp2_session_mem_recv(session, bytes, n) < 0) {
                die("HTTP/2: not understood");
            }
            send_frames(wire, session);
        }
    }
    nghttp2_session_callbacks_del(callbacks); /* the session and the connection stay till the end */
}
