// SPDX-License-Identifier: Apache-2.0
//
// Heap memory that never fails: running out aborts, because sizes that come from outside are capped
// (limits.h) before they get here. Scope attributes release on every way out of a function.
#ifndef CORACLE_BASE_MEM_H
#define CORACLE_BASE_MEM_H

#include <stddef.h>

/* As malloc, calloc, realloc, but abort with a message instead of returning NULL. Caller frees. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
/* NUL-terminated copies. Caller frees. */
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
/* printf into a new string. Caller frees. */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void auto_free_cleanup(void *p);        /* p is the address of a pointer */
void auto_close_cleanup(const int *fd); /* negative is fine */

#define auto_free  __attribute__((cleanup(auto_free_cleanup)))
#define auto_close __attribute__((cleanup(auto_close_cleanup)))

/* Moves a pointer (or an fd) out of an auto_ variable: the caller owns it now. */
void *take_ptr(void *address_of_pointer);
int take_fd(int *fd);

#define ARRAY_LEN(a)                   (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, field) ((type *)(void *)((char *)(ptr)-offsetof(type, field)))

#endif
