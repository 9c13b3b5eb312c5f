// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as the user's kubeconfig. Merging our entries in twice is as good as once; taking them
// out leaves what was there before, but for the current context; a file that can't be read stays as
// it is, byte for byte.
#include "fuzz.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/internal.h"
#include "data/yaml.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct place {
    char dir[64];
    char *file;
};

static const struct place *open_place(void)
{
    static struct place p;
    static const char *const files[] = {"pki/ca.crt", "pki/admin.crt", "pki/admin.key"};
    struct err err;
    if (p.file != NULL) {
        return &p;
    }
    (void)snprintf(p.dir, sizeof p.dir, "/dev/shm/coracle-kubeconfig-fuzz-XXXXXX");
    must(mkdtemp(p.dir) != NULL);
    p.file = xasprintf("%s/config", p.dir);
    auto_free char *pki = xasprintf("%s/pki", p.dir);
    must(dir_make_all(pki, 0700, &err) == 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        auto_free char *path = xasprintf("%s/%s", p.dir, files[i]);
        must(file_write_atomic(AT_FDCWD, path, S("PEM"), 0600, &err) == 0);
    }
    must(setenv("KUBECONFIG", p.file, 1) == 0);
    return &p;
}

static struct str read_back(const struct place *p, struct arena *arena)
{
    auto_buf struct buf text;
    struct err err;
    buf_init(&text, FILE_BYTES_MAX);
    must(file_read(AT_FDCWD, p->file, &text, &err) == 0);
    return arena_dup(arena, buf_str(&text));
}

/* The user's own part: what merging may never change. */
static struct val own_part(struct arena *arena, struct str text)
{
    static const char *const sections[] = {"clusters", "users", "contexts"};
    struct val v = val_null();
    struct err err;
    must(yaml_read(text, arena, NULL, &v, &err) == 0);
    v = val_is(&v, VAL_MAP) ? val_copy(arena, &v) : val_map();
    (void)val_remove(&v, S("current-context"));
    (void)val_remove(&v, S("apiVersion"));
    (void)val_remove(&v, S("kind"));
    for (size_t s = 0; s < ARRAY_LEN(sections); s++) {
        struct val *list = val_slot(&v, str_of(sections[s]));
        for (size_t i = val_count(list); val_is(list, VAL_LIST) && i-- > 0;) {
            if (str_eq(val_text(val_get(val_at(list, i), S("name"))), S("coracle"))) {
                val_drop(list, i);
            }
        }
        if (list != NULL && val_count(list) == 0) {
            (void)val_remove(&v, str_of(sections[s]));
        }
    }
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct place *p = open_place();
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct cli cli = {.arena = arena, .name = S("default"), .data = str_of(p->dir)};
    struct str before = {(const char *)data, size};
    struct str path;
    struct err err = {0};
    must(file_write_atomic(AT_FDCWD, p->file, before, 0600, &err) == 0);
    if (kubeconfig_merge(&cli, S("https://127.0.0.1:6443"), &path, &err) < 0) {
        must(err.msg[0] != '\0');
        must(str_eq(before, read_back(p, arena)));
        return 0;
    }
    struct str once = read_back(p, arena);
    must(kubeconfig_merge(&cli, S("https://127.0.0.1:6443"), &path, &err) == 0);
    must(str_eq(once, read_back(p, arena)));
    must(kubeconfig_remove(&cli, &err) == 0);
    struct val was = own_part(arena, before);
    struct val merged = own_part(arena, once);
    struct val left = own_part(arena, read_back(p, arena));
    must(val_eq(&was, &merged));
    must(val_eq(&was, &left));
    return 0;
}
