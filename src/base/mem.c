// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *checked(void *p, size_t size)
{
    if (p == NULL && size != 0) {
        (void)fprintf(stderr, "coracle: out of memory (%zu bytes wanted)\n", size);
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return checked(malloc(size), size);
}

void *xcalloc(size_t count, size_t size)
{
    return checked(calloc(count, size), size);
}

void *xrealloc(void *p, size_t size)
{
    return checked(realloc(p, size), size);
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    char *copy = xmalloc(n + 1);
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *out = NULL;
    int n = vasprintf(&out, fmt, args);
    va_end(args);
    return checked(n < 0 ? NULL : out, 1);
}

void auto_free_cleanup(void *p)
{
    void *heap;
    memcpy(&heap, p, sizeof heap);
    free(heap);
}

void auto_close_cleanup(const int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

void *take_ptr(void *address_of_pointer)
{
    void *heap;
    void *none = NULL;
    memcpy(&heap, address_of_pointer, sizeof heap);
    memcpy(address_of_pointer, &none, sizeof none);
    return heap;
}

int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}
