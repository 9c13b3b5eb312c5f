// SPDX-License-Identifier: Apache-2.0
#include "auth/pki.h"

#include "auth/cert.h"
#include "base/fd.h"
#include "base/mem.h"

#include <fcntl.h>
#include <unistd.h>

enum { PEM_BYTES_MAX = 64 << 10 };

#define CERT_LIFE (366 * USEC_PER_DAY)
#define CERT_LEFT (CERT_LIFE / 3)
#define CA_LIFE   (36500 * USEC_PER_DAY)

struct pair {
    struct buf cert;
    struct buf key;
};

static void pair_init(struct pair *pair)
{
    buf_init(&pair->cert, PEM_BYTES_MAX);
    buf_init(&pair->key, PEM_BYTES_MAX);
}

static void pair_done(struct pair *pair)
{
    buf_done(&pair->cert);
    buf_done(&pair->key);
}

static int pem_read(const char *dir, const char *name, const char *suffix, struct buf *out,
                    struct err *err)
{
    auto_free char *path = xasprintf("%s/%s%s", dir, name, suffix);
    return file_read(AT_FDCWD, path, out, err);
}

static int pem_write(const char *dir, const char *name, const char *suffix, const struct buf *pem,
                     struct err *err)
{
    auto_free char *path = xasprintf("%s/%s%s", dir, name, suffix);
    return file_write_atomic(AT_FDCWD, path, buf_str(pem), 0600, err);
}

static int pair_read(const char *dir, const char *name, struct pair *ret, struct err *err)
{
    int r = pem_read(dir, name, ".crt", &ret->cert, err);
    return r < 0 ? r : pem_read(dir, name, ".key", &ret->key, err);
}

static int pair_write(const char *dir, const char *name, const struct pair *pair, struct err *err)
{
    int r = pem_write(dir, name, ".key", &pair->key, err);
    return r < 0 ? r : pem_write(dir, name, ".crt", &pair->cert, err);
}

/* Reads the CA, or makes it when there is none. One that is there and can't be read is an error:
 * everything that was issued hangs on it. */
static int ensure_ca(const char *dir, usec now, struct pair *ca, struct err *err)
{
    int r = pair_read(dir, "ca", ca, err);
    if (r != ERR_NOT_FOUND || ca->cert.n > 0) {
        return r;
    }
    r = cert_make_ca(S("coracle-ca"), 0, now + CA_LIFE, &ca->cert, &ca->key, err);
    return r < 0 ? r : pair_write(dir, "ca", ca, err);
}

static int ensure_token_key(const char *dir, struct err *err)
{
    auto_buf struct buf key;
    buf_init(&key, PEM_BYTES_MAX);
    int r = pem_read(dir, "service-accounts", ".key", &key, err);
    if (r != ERR_NOT_FOUND) {
        return r;
    }
    r = cert_make_key(&key, err);
    return r < 0 ? r : pem_write(dir, "service-accounts", ".key", &key, err);
}

static int ensure_cert(const char *dir, const char *name, const struct pair *ca,
                       struct cert_request *request, usec now, usec *ret_renew_at, struct err *err)
{
    struct pair pair;
    usec from = 0;
    usec until = 0;
    pair_init(&pair);
    bool is_fresh = pair_read(dir, name, &pair, err) == 0 &&
                    cert_check(buf_str(&pair.cert), buf_str(&pair.key), &from, &until, err) == 0 &&
                    from <= now && until - now > CERT_LEFT;
    int r = 0;
    if (!is_fresh) {
        buf_clear(&pair.cert);
        buf_clear(&pair.key);
        request->valid_from_wall = 0;
        request->valid_for = now + CERT_LIFE;
        until = now + CERT_LIFE;
        r = cert_make(buf_str(&ca->cert), buf_str(&ca->key), request, &pair.cert, &pair.key, err);
        r = r < 0 ? err_wrap(err, "certificate '%s'", name) : pair_write(dir, name, &pair, err);
    }
    *ret_renew_at = until - CERT_LEFT;
    pair_done(&pair);
    return r;
}

static int ensure_certs(const char *dir, const struct pair *ca, usec now, usec *ret_renew_at,
                        struct err *err)
{
    static const struct str masters[] = {
        {"system:masters", 14}
    };
    static const struct str names[] = {
        {"localhost",                            9 },
        {"kubernetes",                           10},
        {"kubernetes.default",                   18},
        {"kubernetes.default.svc",               22},
        {"kubernetes.default.svc.cluster.local", 36}
    };
    static const struct str addresses[] = {
        {"127.0.0.1",  9 },
        {"10.96.0.1",  9 },
        {"10.244.0.1", 10}
    };
    struct cert_request admin = {
        .common_name = S("coracle-admin"), .organizations = masters, .organizations_count = 1};
    struct cert_request server = {.common_name = S("coracle-apiserver"),
                                  .dns_names = names,
                                  .dns_names_count = ARRAY_LEN(names),
                                  .addresses = addresses,
                                  .addresses_count = ARRAY_LEN(addresses),
                                  .is_server = true};
    usec admin_at = 0;
    usec server_at = 0;
    if (ensure_cert(dir, "admin", ca, &admin, now, &admin_at, err) < 0 ||
        ensure_cert(dir, "server", ca, &server, now, &server_at, err) < 0) {
        return err->code;
    }
    *ret_renew_at = admin_at < server_at ? admin_at : server_at;
    return 0;
}

int pki_ensure(const char *dir, usec now_wall, usec *ret_renew_at, struct err *err)
{
    struct pair ca;
    pair_init(&ca);
    int r = dir_make_all(dir, 0700, err);
    r = r < 0 ? r : ensure_ca(dir, now_wall, &ca, err);
    r = r < 0 ? r : ensure_token_key(dir, err);
    r = r < 0 ? r : ensure_certs(dir, &ca, now_wall, ret_renew_at, err);
    pair_done(&ca);
    return r;
}
