// SPDX-License-Identifier: Apache-2.0
//
// One error type. An error lives on the caller's stack, is never NULL and never allocated.
// A fallible function returns 0 or a negative ERR_* code, takes `struct err *err` last, and fails
// only through err_set, err_wrap and err_errno. Messages: lower-case start, no full stop, the value
// in quotes, what was expected.
#ifndef CORACLE_BASE_ERR_H
#define CORACLE_BASE_ERR_H

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* name */
#define ERR_CODES(X)                                                                               \
    X(NOT_FOUND)    /* the thing named is not there */                                             \
    X(EXISTS)       /* the thing named is there already */                                         \
    X(CONFLICT)     /* a precondition on the present state failed */                               \
    X(INVALID)      /* input breaks a rule of meaning (a field's value) */                         \
    X(SYNTAX)       /* input can't be read at all */                                               \
    X(DENIED)       /* known, but may not */                                                       \
    X(UNKNOWN_USER) /* not known */                                                                \
    X(LIMIT)        /* over a limit of limits.h */                                                 \
    X(TIMEOUT)      /* took too long */                                                            \
    X(GONE)         /* was there, can't be had any more (compacted revision) */                    \
    X(AGAIN)        /* not now; try again */                                                       \
    X(IO)           /* the operating system said no */                                             \
    X(CORRUPT)      /* stored data is not what was written */                                      \
    X(UNSUPPORTED)  /* understood, but not offered here */                                         \
    X(INTERNAL)     /* a defect of ours */

enum err_rank {
    ERR_RANK_NONE,
#define ERR_RANK(name) ERR_RANK_##name,
    ERR_CODES(ERR_RANK)
#undef ERR_RANK
        ERR_RANK_COUNT
};

enum err_code {
    ERR_NONE = 0,
#define ERR_CODE(name) ERR_##name = -ERR_RANK_##name,
    ERR_CODES(ERR_CODE)
#undef ERR_CODE
};

enum { ERR_MSG_MAX = 768 }; /* longest fixed message of upstream is 230 bytes, plus names */

struct err {
    int code; /* 0 or ERR_*; the msg counts only when it is not 0 */
    char msg[ERR_MSG_MAX];
};

/* Sets err and returns code, so that `return err_set(err, ERR_INVALID, "...")` is the way to fail.
 */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "<fmt>: " in front of the message of an error that is set; returns its code. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* As err_set with ERR_IO (ENOENT: NOT_FOUND, EEXIST: EXISTS), with ": <strerror(errno)>" appended.
 */
int err_errno(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#ifdef __clang_analyzer__
/* The analyzer reads a file at a time: here it learns that a failure is never 0. */
#define err_set(err, ...)   ((void)err_set(err, __VA_ARGS__), (err)->code = ERR_INTERNAL)
#define err_wrap(err, ...)  ((void)err_wrap(err, __VA_ARGS__), (err)->code = ERR_INTERNAL)
#define err_errno(err, ...) ((void)err_errno(err, __VA_ARGS__), (err)->code = ERR_IO)
#endif

/* "NOT_FOUND" for ERR_NOT_FOUND; static. */
const char *err_name(int code);

#endif
