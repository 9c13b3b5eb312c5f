// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "auth/cert.h"
#include "auth/pki.h"
#include "base/fd.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { PEM_MAX = 8192, CERT_DAYS = 366, LEFT_DAYS = 122 };

static const usec now = INT64_C(20000) * USEC_PER_DAY; /* 2024 */

struct folder {
    char dir[64];
    struct buf seen[3]; /* ca.crt, server.crt, admin.crt when last looked at */
};

static const char *const names[] = {"ca", "server", "admin"};

static void folder_open(struct folder *f)
{
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/coracle-pki-XXXXXX");
    EXPECT(mkdtemp(f->dir) != NULL);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        buf_init(&f->seen[i], PEM_MAX);
    }
}

static void folder_close(struct folder *f)
{
    struct err err;
    EXPECT_OK(dir_remove_all(AT_FDCWD, f->dir, &err));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        buf_done(&f->seen[i]);
    }
}

static void read_one(const struct folder *f, const char *name, const char *suffix, struct buf *out)
{
    struct err err;
    auto_free char *path = xasprintf("%s/%s%s", f->dir, name, suffix);
    buf_clear(out);
    EXPECT_OK(file_read(AT_FDCWD, path, out, &err));
}

/* Which certificates are others than before: bits of names. All must be valid at the time, and
 * their key's. */
static unsigned ensure_at(struct folder *f, usec wall)
{
    struct err err = {0};
    unsigned changed = 0;
    usec renew_at = 0;
    EXPECT_OK(pki_ensure(f->dir, wall, &renew_at, &err));
    EXPECT(renew_at > wall);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        auto_buf struct buf cert;
        auto_buf struct buf key;
        usec from;
        usec until;
        buf_init(&cert, PEM_MAX);
        buf_init(&key, PEM_MAX);
        read_one(f, names[i], ".crt", &cert);
        read_one(f, names[i], ".key", &key);
        EXPECT_OK(cert_check(buf_str(&cert), buf_str(&key), &from, &until, &err));
        EXPECT(from <= wall && wall < until);
        changed |= str_eq(buf_str(&cert), buf_str(&f->seen[i])) ? 0 : 1U << i;
        buf_clear(&f->seen[i]);
        (void)buf_add(&f->seen[i], buf_str(&cert));
    }
    return changed;
}

TEST(certificates_are_renewed_in_time_and_outlive_wrong_clocks)
{
    enum { CA = 1, SERVER = 2, ADMIN = 4, LEAVES = SERVER | ADMIN };
    static const struct {
        int64_t day; /* from now */
        unsigned changed;
    } rows[] = {
        {0,                         LEAVES | CA}, /* made */
        {0,                         0          },
        {CERT_DAYS - LEFT_DAYS - 1, 0          },
        {CERT_DAYS - LEFT_DAYS,     LEAVES     },
        {-19000,                    0          }, /* 1972 */
        {18000,                     LEAVES     }, /* 2074 */
        {0,                         0          }, /* and back */
    };
    struct folder f;
    folder_open(&f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        EXPECT_INT(rows[i].changed, ensure_at(&f, now + rows[i].day * USEC_PER_DAY));
    }
    folder_close(&f);
}

TEST(keys_are_for_their_owner_and_fit_their_certificates)
{
    static const char *const files[] = {"ca.key", "ca.crt", "server.key", "admin.key",
                                        "service-accounts.key"};
    struct folder f;
    struct stat st;
    struct err err;
    folder_open(&f);
    (void)ensure_at(&f, now);
    EXPECT(stat(f.dir, &st) == 0);
    EXPECT_INT(0700, st.st_mode & 07777);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        auto_free char *path = xasprintf("%s/%s", f.dir, files[i]);
        EXPECT(stat(path, &st) == 0);
        EXPECT_INT(0600, st.st_mode & 07777);
    }
    auto_buf struct buf key; /* as if a renewal had been cut short between its two files */
    buf_init(&key, PEM_MAX);
    auto_free char *server = xasprintf("%s/server.key", f.dir);
    read_one(&f, "admin", ".key", &key);
    EXPECT_OK(file_write_atomic(AT_FDCWD, server, buf_str(&key), 0600, &err));
    EXPECT_INT(2, ensure_at(&f, now));
    folder_close(&f);
}
