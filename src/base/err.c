// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef err_set
#undef err_wrap
#undef err_errno

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    err->code = code;
    (void)vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    return code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char tail[ERR_MSG_MAX];
    (void)snprintf(tail, sizeof tail, "%s", err->msg);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->msg) {
        (void)snprintf(err->msg + n, sizeof err->msg - (size_t)n, ": %s", tail);
    }
    return err->code;
}

int err_errno(struct err *err, const char *fmt, ...)
{
    int saved = errno;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->msg) {
        (void)snprintf(err->msg + n, sizeof err->msg - (size_t)n, ": %s", strerror(saved));
    }
    err->code = saved == ENOENT ? ERR_NOT_FOUND : saved == EEXIST ? ERR_EXISTS : ERR_IO;
    return err->code;
}

const char *err_name(int code)
{
    static const char *const names[ERR_RANK_COUNT] = {[ERR_RANK_NONE] = "OK",
#define ERR_NAME(name) [ERR_RANK_##name] = #name,
                                                      ERR_CODES(ERR_NAME)
#undef ERR_NAME
    };
    return code <= 0 && code > -ERR_RANK_COUNT ? names[-code] : "?";
}
