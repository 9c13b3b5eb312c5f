// SPDX-License-Identifier: Apache-2.0
#define LOG_ROOM "server"
#include "server/cert_renewal.h"

#include "auth/pki.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdlib.h>

enum { PEM_BYTES_MAX = 64 << 10 };

#define LOOK_EVERY (60 * USEC_PER_SEC)

struct cert_renewal {
    struct loop *loop;
    struct tls_server *tls; /* NULL: freed while the work ran */
    char *dir;
    struct timer timer;
    usec renew_at; /* wall */
    /* of the work that runs */
    usec now;
    struct buf cert;
    struct buf key;
    struct err err;
    int result;
    bool is_working;
    bool has_looked;
};

static int read_file(const char *dir, const char *name, struct buf *out, struct err *err)
{
    auto_free char *path = xasprintf("%s/%s", dir, name);
    buf_clear(out);
    return file_read(AT_FDCWD, path, out, err);
}

static void work(void *ctx)
{
    struct cert_renewal *r = ctx;
    r->result = pki_ensure(r->dir, r->now, &r->renew_at, &r->err);
    r->result = r->result < 0 ? r->result : read_file(r->dir, "server.crt", &r->cert, &r->err);
    r->result = r->result < 0 ? r->result : read_file(r->dir, "server.key", &r->key, &r->err);
}

static void release(struct cert_renewal *r)
{
    timer_stop(&r->timer);
    buf_done(&r->cert);
    buf_done(&r->key);
    free(r->dir);
    free(r);
}

static void look(void *ctx);

static void done(void *ctx)
{
    struct cert_renewal *r = ctx;
    r->is_working = false;
    if (r->tls == NULL) {
        release(r);
        return;
    }
    if (r->result == 0) {
        r->result = tls_server_renew(r->tls, buf_str(&r->cert), buf_str(&r->key), &r->err);
    }
    if (r->result < 0) {
        r->renew_at = 0; /* again in a minute */
        log_warn("certificates: %s", r->err.msg);
    } else if (r->has_looked) {
        log_info("certificates were renewed");
    }
    r->has_looked = true;
    timer_start(r->loop, &r->timer, LOOK_EVERY, look, r);
}

static void look(void *ctx)
{
    struct cert_renewal *r = ctx;
    r->now = loop_wall(r->loop);
    if (r->now < r->renew_at) {
        timer_start(r->loop, &r->timer, LOOK_EVERY, look, r);
        return;
    }
    r->is_working = true;
    loop_work(r->loop, work, done, r);
}

struct cert_renewal *cert_renewal_new(struct loop *loop, const char *dir, struct tls_server *tls)
{
    struct cert_renewal *r = xcalloc(1, sizeof *r);
    r->loop = loop;
    r->tls = tls;
    r->dir = xstrdup(dir);
    buf_init(&r->cert, PEM_BYTES_MAX);
    buf_init(&r->key, PEM_BYTES_MAX);
    look(r);
    return r;
}

void cert_renewal_free(struct cert_renewal *r)
{
    if (r != NULL && r->is_working) {
        r->tls = NULL;
    } else if (r != NULL) {
        release(r);
    }
}
