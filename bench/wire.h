// SPDX-License-Identifier: Apache-2.0
//
// One HTTPS connection to the API as the cluster's admin: blocking, keep-alive, no retries. What
// fails ends the program, since a number from half a run is worth nothing.
#ifndef CORACLE_BENCH_WIRE_H
#define CORACLE_BENCH_WIRE_H

#include <stddef.h>
#include <stdint.h>

struct wire;

/* Reads admin.crt and admin.key of the folder; connections go to 127.0.0.1:port. */
void wire_setup(const char *pki_dir, int port);
struct wire *wire_open(void);
void wire_close(struct wire *wire);
/* The TLS connection alone, for another protocol than HTTP/1.1 (an ALPN name); bytes as they are.
 */
struct wire *wire_open_as(const char *protocol);
void wire_write(struct wire *wire, const void *bytes, size_t n);
size_t wire_read(struct wire *wire, void *bytes, size_t max);
/* Opens count streams of GETs that don't end over one connection of HTTP/2 (bench/shared.c). */
void share_watches(const char *path, int count);
/* Sends a request; body NULL = none. */
void wire_send(struct wire *wire, const char *method, const char *path, const char *body);
/* Reads the whole reply; text is borrowed until the next call and ends with a NUL. Returns the
 * status code. */
int wire_reply(struct wire *wire, const char **ret_text, size_t *ret_len);
/* Of a reply that streams: reads its head, then lines one by one. */
int wire_head(struct wire *wire);
const char *wire_line(struct wire *wire);
/* Ends the program unless code is want. */
void wire_expect(int want, int code, const char *text);

int64_t now_us(void);  /* monotonic */
int64_t wall_us(void); /* to compare with what containers write */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
