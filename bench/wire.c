// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 over OpenSSL, as little as a benchmark needs: replies with a length or in chunks.
#include "wire.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct wire {
    SSL *ssl;
    int fd;
    char *in; /* what was read and not yet used: [in_at, in_end) */
    size_t in_at, in_end, in_cap;
    char *text; /* the reply, or lines */
    size_t text_cap;
    size_t lines_n, line_at; /* of a reply that streams: bytes of lines in text, the next one */
};

static SSL_CTX *context;
static int api_port;

void die(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)fputs("bench: ", stderr);
    (void)vfprintf(stderr, fmt, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static int64_t clock_us(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

void wire_setup(const char *pki_dir, int port)
{
    char cert[4096];
    char key[4096];
    (void)snprintf(cert, sizeof cert, "%s/admin.crt", pki_dir);
    (void)snprintf(key, sizeof key, "%s/admin.key", pki_dir);
    context = SSL_CTX_new(TLS_client_method());
    api_port = port;
    if (SSL_CTX_use_certificate_file(context, cert, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        die("can't read %s and %s", cert, key);
    }
    (void)SSL_CTX_set_mode(context, SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
}

struct wire *wire_open(void)
{
    return wire_open_as("http/1.1");
}

struct wire *wire_open_as(const char *protocol)
{
    unsigned char name[32];
    size_t n = strlen(protocol);
    struct wire *w = calloc(1, sizeof *w);
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)api_port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    if (w == NULL) {
        die("no memory");
    }
    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&sin, sizeof sin) < 0) {
        die("connect to 127.0.0.1:%d failed", api_port);
    }
    (void)setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    w->ssl = SSL_new(context);
    name[0] = (unsigned char)n;
    memcpy(name + 1, protocol, n);
    if (SSL_set_alpn_protos(w->ssl, name, (unsigned)n + 1) != 0 || SSL_set_fd(w->ssl, w->fd) != 1 ||
        SSL_connect(w->ssl) != 1) {
        die("TLS handshake failed");
    }
    return w;
}

void wire_write(struct wire *w, const void *bytes, size_t n)
{
    if (SSL_write(w->ssl, bytes, (int)n) != (int)n) {
        die("the server went");
    }
}

size_t wire_read(struct wire *w, void *bytes, size_t max)
{
    int n = SSL_read(w->ssl, bytes, (int)max);
    if (n <= 0) {
        die("the server went");
    }
    return (size_t)n;
}

void wire_close(struct wire *w)
{
    (void)SSL_shutdown(w->ssl);
    SSL_free(w->ssl);
    (void)close(w->fd);
    free(w->in);
    free(w->text);
    free(w);
}

static void *room_for(void *p, size_t *cap, size_t want)
{
    if (want > *cap) {
        *cap = want < 2 * *cap ? 2 * *cap : want + 4096;
        p = realloc(p, *cap);
        if (p == NULL) {
            die("no memory");
        }
    }
    return p;
}

void wire_send(struct wire *w, const char *method, const char *path, const char *body)
{
    size_t len = body == NULL ? 0 : strlen(body);
    w->text = room_for(w->text, &w->text_cap, len + strlen(path) + 256);
    int n = snprintf(w->text, w->text_cap,
                     "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     method, path, len, body == NULL ? "" : body);
    if (SSL_write(w->ssl, w->text, n) != n) {
        die("%s %s: the connection broke", method, path);
    }
}

static void read_more(struct wire *w)
{
    if (w->in_at == w->in_end) {
        w->in_at = w->in_end = 0;
    }
    w->in = room_for(w->in, &w->in_cap, w->in_end + 4096);
    int n = SSL_read(w->ssl, w->in + w->in_end, (int)(w->in_cap - w->in_end));
    if (n <= 0) {
        die("the server ended the connection");
    }
    w->in_end += (size_t)n;
}

/* The next line of the protocol, without its end; borrowed until the next read. */
static char *read_line(struct wire *w)
{
    size_t seen = 0;
    for (;;) {
        char *from = w->in + w->in_at;
        char *end = w->in_end - w->in_at <= seen
                        ? NULL
                        : memchr(from + seen, '\n', w->in_end - w->in_at - seen);
        if (end != NULL) {
            w->in_at = (size_t)(end + 1 - w->in);
            *(end > from && end[-1] == '\r' ? end - 1 : end) = '\0';
            return from;
        }
        seen = w->in_end - w->in_at;
        read_more(w);
    }
}

static void read_exact(struct wire *w, size_t at, size_t len)
{
    w->text = room_for(w->text, &w->text_cap, at + len + 1);
    while (len > 0) {
        if (w->in_at == w->in_end) {
            read_more(w);
        }
        size_t n = w->in_end - w->in_at < len ? w->in_end - w->in_at : len;
        memcpy(w->text + at, w->in + w->in_at, n);
        w->in_at += n;
        at += n;
        len -= n;
    }
    w->text[at] = '\0';
}

static int read_head(struct wire *w, size_t *ret_len)
{
    const char *line = read_line(w);
    int code = strlen(line) > 9 ? (int)strtol(line + 9, NULL, 10) : 0;
    *ret_len = SIZE_MAX;
    while (*(line = read_line(w)) != '\0') {
        if (strncasecmp(line, "content-length:", 15) == 0) {
            *ret_len = strtoul(line + 15, NULL, 10);
        }
    }
    return code;
}

int wire_reply(struct wire *w, const char **ret_text, size_t *ret_len)
{
    size_t len;
    int code = read_head(w, &len);
    size_t n = 0;
    if (len != SIZE_MAX) {
        read_exact(w, 0, len);
        n = len;
    } else {
        for (size_t chunk; (chunk = strtoul(read_line(w), NULL, 16)) > 0; n += chunk) {
            read_exact(w, n, chunk);
            (void)read_line(w);
        }
        (void)read_line(w);
    }
    *ret_text = n == 0 ? "" : w->text;
    *ret_len = n;
    return code;
}

int wire_head(struct wire *w)
{
    size_t len;
    return read_head(w, &len);
}

/* A chunk may hold several lines. */
const char *wire_line(struct wire *w)
{
    if (w->line_at == w->lines_n) {
        size_t n = 0;
        do {
            size_t chunk = strtoul(read_line(w), NULL, 16);
            if (chunk == 0) {
                die("the watch ended");
            }
            read_exact(w, n, chunk);
            (void)read_line(w);
            n += chunk;
        } while (w->text[n - 1] != '\n');
        w->lines_n = n;
        w->line_at = 0;
    }
    char *line = w->text + w->line_at;
    char *end = memchr(line, '\n', w->lines_n - w->line_at);
    *end = '\0';
    w->line_at = (size_t)(end + 1 - w->text);
    return line;
}

void wire_expect(int want, int code, const char *text)
{
    if (code != want) {
        die("expected %d, got %d: %.300s", want, code, text);
    }
}
