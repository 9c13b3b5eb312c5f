// SPDX-License-Identifier: Apache-2.0
//
// A place where a test may make real containers: a forked child in mount, pid, ipc and uts
// namespaces of its own, with a tmpfs on /run and cgroups that the OCI runtime accepts. CHECK ends
// the child, since cmocka's jump would go on with the other tests in it.
#ifndef CORACLE_TESTS_NODE_SANDBOX_H
#define CORACLE_TESTS_NODE_SANDBOX_H

#include "test.h"

#include "loop/loop.h"

#include <stdio.h>
#include <unistd.h>

/* Runs fn in the sandbox; the test fails when it does. Skips the test, with a message, where that
 * can't be done (not root). */
void sandbox_run(void (*fn)(void));
/* A directory with a small root file system of the host's busybox. */
void sandbox_rootfs(const char *dir);
/* Runs the loop until *flag, at most 20 s. */
void sandbox_wait(struct loop *loop, const bool *flag);
/* The same for milliseconds. */
void sandbox_pause(struct loop *loop, int ms);

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expr);                             \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define CHECK_INT(want, got)                                                                       \
    do {                                                                                           \
        long long want_ = (want);                                                                  \
        long long got_ = (got);                                                                    \
        if (want_ != got_) {                                                                       \
            fprintf(stderr, "%s:%d: %s: want %lld, got %lld\n", __FILE__, __LINE__, #got, want_,   \
                    got_);                                                                         \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define CHECK_STR(want, got)                                                                       \
    do {                                                                                           \
        struct str got_ = (got);                                                                   \
        if (!str_eq(str_of(want), got_)) {                                                         \
            fprintf(stderr, "%s:%d: %s: want '%s', got '" STR_FMT "'\n", __FILE__, __LINE__, #got, \
                    want, STR_ARG(got_));                                                          \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        if ((call) < 0) {                                                                          \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, err.msg);                \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#endif
