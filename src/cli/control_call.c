// SPDX-License-Identifier: Apache-2.0
//
// One HTTP/1.1 request to the brain's control socket: the path is ours, the peer is ours, so a
// request with Connection: close and reading to the end is all the HTTP that is needed.
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/internal.h"
#include "data/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Paths of Unix sockets end at 108 bytes; the detour over the directory's descriptor has no such
 * end. */
static int connect_control(struct cli *cli, struct err *err)
{
    auto_close int dir = open(cli->data.p, O_PATH | O_DIRECTORY | O_CLOEXEC);
    auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (dir < 0 || fd < 0) {
        (void)err_errno(err, "open '%s'", cli->data.p);
        return -1;
    }
    (void)snprintf(sun.sun_path, sizeof sun.sun_path, "/proc/self/fd/%d/control.sock", dir);
    if (connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0) {
        (void)err_set(err, ERR_NOT_FOUND,
                      "cluster '" STR_FMT "' is not running; start it with `coracle up`",
                      STR_ARG(cli->name));
        return -1;
    }
    return take_fd(&fd);
}

static int read_answer(int fd, struct buf *answer, struct err *err)
{
    for (;;) {
        char *room = buf_room(answer, 16384);
        if (room == NULL) {
            return err_set(err, ERR_LIMIT, "the answer is over %zu bytes", answer->max);
        }
        ssize_t n = read(fd, room, 16384);
        if (n == 0) {
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return err_errno(err, "read the brain's answer");
        }
        buf_grew(answer, n < 0 ? 0 : (size_t)n);
    }
}

/* A request that closes its connection behind it. */
static int send_request(struct cli *cli, struct str method, struct str path, struct str body,
                        struct err *err)
{
    auto_close int fd = connect_control(cli, err);
    if (fd < 0) {
        return fd;
    }
    struct str request = arena_fmt(cli->arena,
                                   STR_FMT " " STR_FMT " HTTP/1.1\r\nHost: control\r\n"
                                           "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                                   STR_ARG(method), STR_ARG(path), body.n);
    if (fd_write_all(fd, request, err) < 0 || fd_write_all(fd, body, err) < 0) {
        return -1;
    }
    return take_fd(&fd);
}

int control_call(struct cli *cli, struct str method, struct str path, struct val *ret,
                 struct err *err)
{
    auto_buf struct buf answer;
    buf_init(&answer, FILE_BYTES_MAX);
    auto_close int fd = send_request(cli, method, path, S(""), err);
    if (fd < 0 || read_answer(fd, &answer, err) < 0) {
        return err->code;
    }
    struct str text = arena_dup(cli->arena, buf_str(&answer));
    ptrdiff_t body = str_search(text, S("\r\n\r\n"));
    if (body < 0 || text.n < 12) {
        return err_set(err, ERR_IO, "the brain closed the connection without an answer");
    }
    struct str json = str_sub(text, (size_t)body + 4, text.n);
    if (json_read(json, cli->arena, NULL, ret, err) < 0) {
        return err_wrap(err, "the brain's answer");
    }
    if (text.p[9] != '2') {
        struct str message = val_text_at(ret, "message");
        return err_set(err, ERR_INVALID, STR_FMT, STR_ARG(message));
    }
    return 0;
}

/* The brain writes whole lines, each as a chunk of its own (RFC 9112 §7.1): what is no JSON is the
 * framing. */
int control_follow(struct cli *cli, struct str path, struct str body,
                   void (*line)(void *ctx, struct str line), void *ctx, struct err *err)
{
    auto_buf struct buf answer;
    buf_init(&answer, FILE_BYTES_MAX);
    auto_close int fd = send_request(cli, S("POST"), path, body, err);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        char *room = buf_room(&answer, 16384);
        n = room == NULL ? -1 : read(fd, room, 16384);
        buf_grew(&answer, n > 0 ? (size_t)n : 0);
        for (ptrdiff_t end = str_find(buf_str(&answer), '\n'); end >= 0 || (n == 0 && answer.n > 0);
             end = str_find(buf_str(&answer), '\n')) {
            size_t length = end < 0 ? answer.n : (size_t)end + 1;
            struct str text = str_trim(str_sub(buf_str(&answer), 0, length));
            if (str_starts(text, S("{"))) {
                line(ctx, text);
            }
            buf_consume(&answer, length);
        }
    }
    return fd < 0 ? err->code : n < 0 ? err_errno(err, "read the brain's answer") : 0;
}
