// SPDX-License-Identifier: Apache-2.0
//
// Renewal on the virtual clock: which certificate would the next connection get?
#include "server/cert_renewal.h"

#include "test.h"

#include "auth/pki.h"
#include "base/fd.h"
#include "base/mem.h"
#include "wire/tls_internal.h"

#include <fcntl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

enum { PEM_MAX = 8192, MINUTES = 3 };

static const usec start = INT64_C(20000) * USEC_PER_DAY;

struct bench {
    char dir[64];
    struct loop *loop;
    struct tls_server *tls;
    struct cert_renewal *renewal;
    struct timer over;
    bool is_over;
};

static void on_over(void *ctx)
{
    struct bench *b = ctx;
    b->is_over = true;
}

static void pass_minutes(struct bench *b)
{
    b->is_over = false;
    timer_start(b->loop, &b->over, (MINUTES * 60 + 1) * USEC_PER_SEC, on_over, b);
    while (!b->is_over && loop_turn(b->loop)) {
    }
}

static char *path_of(const struct bench *b, const char *name)
{
    return xasprintf("%s/%s", b->dir, name);
}

static void bench_open(struct bench *b)
{
    struct err err = {0};
    usec renew_at;
    struct buf pem[3];
    static const char *const files[] = {"server.crt", "server.key", "ca.crt"};
    *b = (struct bench){.loop = loop_new_virtual(start)};
    (void)snprintf(b->dir, sizeof b->dir, "/tmp/coracle-renewal-XXXXXX");
    EXPECT(mkdtemp(b->dir) != NULL);
    EXPECT_OK(pki_ensure(b->dir, start, &renew_at, &err));
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        auto_free char *path = path_of(b, files[i]);
        buf_init(&pem[i], PEM_MAX);
        EXPECT_OK(file_read(AT_FDCWD, path, &pem[i], &err));
    }
    b->tls = tls_server_new(buf_str(&pem[0]), buf_str(&pem[1]), buf_str(&pem[2]), &err);
    EXPECT(b->tls != NULL);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        buf_done(&pem[i]);
    }
    b->renewal = cert_renewal_new(b->loop, b->dir, b->tls);
    pass_minutes(b);
}

static void bench_close(struct bench *b)
{
    struct err err;
    cert_renewal_free(b->renewal);
    tls_server_free(b->tls);
    loop_free(b->loop);
    EXPECT_OK(dir_remove_all(AT_FDCWD, b->dir, &err));
}

/* Whole days that the served certificate has left at the wall clock. */
static int days_left(const struct bench *b)
{
    const X509 *cert = SSL_CTX_get0_certificate(tls_server_ctx(b->tls));
    ASN1_TIME *wall = ASN1_TIME_set(NULL, (time_t)(loop_wall(b->loop) / USEC_PER_SEC));
    int days = 0;
    int seconds = 0;
    EXPECT(ASN1_TIME_diff(&days, &seconds, wall, X509_get0_notAfter(cert)) == 1);
    EXPECT(X509_cmp_time(X509_get0_notBefore(cert), &(time_t){loop_wall(b->loop) / USEC_PER_SEC}) <
           0);
    ASN1_TIME_free(wall);
    return days;
}

TEST(the_served_certificate_follows_the_clock)
{
    static const struct {
        int jump;      /* days */
        int left_then; /* days, a few minutes later */
    } rows[] = {
        {0,     365        },
        {200,   165        }, /* not due */
        {50,    365        }, /* due */
        {1000,  365        }, /* a clock that was set forward, over its end */
        {-1250, 365 + 1250 }, /* and back: valid all the same */
        {-9000, 365 + 10250},
    };
    struct bench b;
    bench_open(&b);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        loop_shift_wall(b.loop, rows[i].jump * USEC_PER_DAY);
        pass_minutes(&b);
        EXPECT_INT(rows[i].left_then, days_left(&b));
    }
    bench_close(&b);
}

TEST(a_renewal_that_fails_is_tried_again)
{
    struct bench b;
    bench_open(&b);
    auto_free char *key = path_of(&b, "ca.key");
    auto_free char *away = path_of(&b, "away");
    EXPECT(rename(key, away) == 0);
    loop_shift_wall(b.loop, 300 * USEC_PER_DAY);
    pass_minutes(&b);
    EXPECT_INT(65, days_left(&b));
    EXPECT(rename(away, key) == 0);
    pass_minutes(&b);
    EXPECT_INT(365, days_left(&b));
    bench_close(&b);
}
