// SPDX-License-Identifier: Apache-2.0
//
// <data>/pki: the cluster's CA, the server's and the admin's certificates, the key that signs
// service account tokens. All are files of mode 0600; the CA lives ten years, certificates one.
#include "auth/cert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { PEM_BYTES_MAX = 64 << 10 };

static const char *pki_path(struct cli *cli, const char *name, const char *suffix)
{
    return arena_fmt(cli->arena, STR_FMT "/pki/%s%s", STR_ARG(cli->data), name, suffix).p;
}

static int read_pem(const char *path, struct buf *out, struct err *err)
{
    buf_clear(out);
    return file_read(AT_FDCWD, path, out, err);
}

static int write_pair(struct cli *cli, const char *name, const struct buf *cert,
                      const struct buf *key, struct err *err)
{
    if (file_write_atomic(AT_FDCWD, pki_path(cli, name, ".key"), buf_str(key), 0600, err) < 0) {
        return err->code;
    }
    return file_write_atomic(AT_FDCWD, pki_path(cli, name, ".crt"), buf_str(cert), 0600, err);
}

static int ensure_ca(struct cli *cli, usec now, struct err *err)
{
    if (access(pki_path(cli, "ca", ".crt"), R_OK) == 0) {
        return 0;
    }
    auto_buf struct buf cert;
    auto_buf struct buf key;
    buf_init(&cert, PEM_BYTES_MAX);
    buf_init(&key, PEM_BYTES_MAX);
    if (cert_make_ca(S("coracle-ca"), now - USEC_PER_DAY, 3650 * USEC_PER_DAY, &cert, &key, err) <
        0) {
        return err->code;
    }
    return write_pair(cli, "ca", &cert, &key, err);
}

static int ensure_token_key(struct cli *cli, struct err *err)
{
    const char *path = pki_path(cli, "service-accounts", ".key");
    if (access(path, R_OK) == 0) {
        return 0;
    }
    auto_buf struct buf key;
    buf_init(&key, PEM_BYTES_MAX);
    return cert_make_key(&key, err) < 0
               ? err->code
               : file_write_atomic(AT_FDCWD, path, buf_str(&key), 0600, err);
}

static bool is_fresh(const char *path, usec now, usec left_min)
{
    auto_buf struct buf pem;
    buf_init(&pem, PEM_BYTES_MAX);
    struct err err;
    usec not_after;
    return read_pem(path, &pem, &err) == 0 &&
           cert_not_after(buf_str(&pem), &not_after, &err) == 0 && not_after - now > left_min;
}

static int ensure_cert(struct cli *cli, const char *name, struct cert_request *request, usec now,
                       struct err *err)
{
    if (is_fresh(pki_path(cli, name, ".crt"), now, 120 * USEC_PER_DAY)) {
        return 0;
    }
    auto_buf struct buf ca_cert;
    auto_buf struct buf ca_key;
    auto_buf struct buf cert;
    auto_buf struct buf key;
    buf_init(&ca_cert, PEM_BYTES_MAX);
    buf_init(&ca_key, PEM_BYTES_MAX);
    buf_init(&cert, PEM_BYTES_MAX);
    buf_init(&key, PEM_BYTES_MAX);
    request->valid_from_wall = now - USEC_PER_DAY;
    request->valid_for = 366 * USEC_PER_DAY;
    if (read_pem(pki_path(cli, "ca", ".crt"), &ca_cert, err) < 0 ||
        read_pem(pki_path(cli, "ca", ".key"), &ca_key, err) < 0 ||
        cert_make(buf_str(&ca_cert), buf_str(&ca_key), request, &cert, &key, err) < 0) {
        return err_wrap(err, "certificate '%s'", name);
    }
    return write_pair(cli, name, &cert, &key, err);
}

int pki_ensure(struct cli *cli, struct err *err)
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
    usec now = clock_system()->wall(NULL);
    if (dir_make_all(cluster_path(cli, "pki"), 0700, err) < 0 || ensure_ca(cli, now, err) < 0 ||
        ensure_token_key(cli, err) < 0 || ensure_cert(cli, "server", &server, now, err) < 0 ||
        ensure_cert(cli, "admin", &admin, now, err) < 0) {
        return err->code;
    }
    return 0;
}
