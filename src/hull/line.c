// SPDX-License-Identifier: Apache-2.0
//
// A line between two processes, both ends: a sequenced-packet socket whose ends outlive who uses
// them. A request is "VERB PID SERIAL ARGUMENT", with or without a descriptor; the answer is
// "ERRNO " and the request, so that an asker knows its own from those that a killed one left
// behind.
#include "hull/internal.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define LOG_ROOM "hull"

enum { ANSWER_BYTES_MAX = LINE_BYTES_MAX + 16 };

/* "<verb> <pid of who asks> <number> <argument>" */
static int read_and_perform(const char *text, const struct line_verb *verbs, size_t count,
                            void *ctx, struct request *request)
{
    struct str rest = str_of(text);
    struct str verb = str_cut(&rest, ' ');
    uint64_t asker;
    errno = EINVAL;
    if (str_to_u64(str_cut(&rest, ' '), &asker) < 0 || asker > INT_MAX) {
        return -1;
    }
    request->asker = (int)asker;
    (void)str_cut(&rest, ' ');
    request->argument = rest.p == NULL ? "" : rest.p;
    for (size_t i = 0; i < count; i++) {
        if (str_eq(verb, str_of(verbs[i].name))) {
            return verbs[i].fn(ctx, request);
        }
    }
    return -1;
}

bool line_serve(int line, const struct line_verb *verbs, size_t count, void *ctx)
{
    char text[LINE_BYTES_MAX];
    struct request request = {.answer_fd = -1};
    ssize_t n = fd_recv(line, text, sizeof text - 1, &request.given_fd);
    if (n <= 0) {
        return n < 0 && errno == EAGAIN;
    }
    text[n] = '\0';
    int result = read_and_perform(text, verbs, count, ctx, &request);
    char answer[ANSWER_BYTES_MAX];
    int len = snprintf(answer, sizeof answer, "%d %s", result == 0 ? 0 : errno, text);
    struct err err;
    if (fd_send(line, (struct str){answer, (size_t)len}, request.answer_fd, &err) < 0) {
        log_warn("answer to '%s': %s", text, err.msg);
    }
    if (request.given_fd >= 0) {
        (void)close(request.given_fd);
    }
    if (request.answer_fd >= 0 && !request.is_answer_lent) {
        (void)close(request.answer_fd);
    }
    return true;
}

/* The answer to request, past those that a killed asker left behind: 0 or the server's errno. */
static int await_answer(int line, struct str request, int *ret_fd)
{
    for (;;) {
        int fd = -1;
        char answer[ANSWER_BYTES_MAX];
        ssize_t n = fd_recv(line, answer, sizeof answer, &fd);
        struct str rest = {answer, n > 0 ? (size_t)n : 0};
        uint64_t code = 0;
        bool is_code = str_to_u64(str_cut(&rest, ' '), &code) == 0;
        if (n > 0 && is_code && str_eq(rest, request)) {
            *ret_fd = fd;
            return (int)code;
        }
        if (fd >= 0) {
            (void)close(fd);
        }
        if (n <= 0) {
            return EIO;
        }
    }
}

int line_ask(int line, const char *verb, const char *argument, int given_fd, int *ret_fd)
{
    static unsigned serial;
    char text[LINE_BYTES_MAX];
    struct err err;
    int unused;
    ret_fd = ret_fd == NULL ? &unused : ret_fd;
    *ret_fd = -1;
    int n = snprintf(text, sizeof text, "%s %d %u %s", verb, (int)getpid(), serial++, argument);
    struct str request = {text, (size_t)n};
    return fd_send(line, request, given_fd, &err) < 0 ? EIO : await_answer(line, request, ret_fd);
}
