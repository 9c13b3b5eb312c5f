// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an image layer, unpacked by the real code into a real directory. Nothing beside that
// directory is touched, the overlay's own marks come only from whiteouts, and the same bytes give
// the same tree and digests again. First byte odd: the sums of what stands where tar headers stand
// are mended first, so that entries get past the reader.
#include "fuzz.h"

#include "base/fd.h"
#include "base/mem.h"
#include "node/layer.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    BLOCK = 512,
    SUM_AT = 148,
    SUM_BYTES = 8,
    SIZE_AT = 124,
    SIZE_BYTES = 12,
    IN_MAX = 64 << 10,
    TREE_MAX = 8 << 20,
    DEPTH_MAX = 300
};

static const struct layer_limits limits = {.bytes_max = 1 << 20, .entries_max = 200};

static void mend_sum(uint8_t *block)
{
    unsigned sum = 0;
    char text[SUM_BYTES];
    memset(block + SUM_AT, ' ', SUM_BYTES);
    for (size_t i = 0; i < BLOCK; i++) {
        sum += block[i];
    }
    (void)snprintf(text, sizeof text, "%06o", sum);
    memcpy(block + SUM_AT, text, sizeof text - 1);
}

static void mend(uint8_t *tar, size_t size)
{
    for (size_t at = 0; at + BLOCK <= size;) {
        size_t content = 0;
        for (size_t i = 0; i < SIZE_BYTES; i++) {
            uint8_t c = tar[at + SIZE_AT + i];
            content = c >= '0' && c <= '7' ? content * 8 + (c - '0') : content;
        }
        mend_sum(tar + at);
        at += BLOCK;
        at += content < size ? (content + BLOCK - 1) / BLOCK * BLOCK : 0;
    }
}

/* Type, mode, owner, size, device, link target and marks of everything, in name order. */
/* NOLINTNEXTLINE(misc-no-recursion): DEPTH_MAX */
static void list_tree(int parent, const char *name, int depth, struct buf *out)
{
    struct dirent **entries = NULL;
    auto_close int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    must(depth < DEPTH_MAX);
    auto_free char *self = xasprintf("/proc/self/fd/%d", dir);
    int n = dir < 0 ? 0 : scandir(self, &entries, NULL, alphasort);
    char mark[8];
    if (fgetxattr(dir, "user.overlay.opaque", mark, sizeof mark) > 0) {
        (void)buf_addf(out, "opaque ");
    }
    for (int i = 0; i < n; i++) {
        struct stat st;
        const char *entry = entries[i]->d_name;
        if (strcmp(entry, ".") != 0 && strcmp(entry, "..") != 0 &&
            fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            (void)buf_addf(out, "%s %o %u %u %lld %llx %u\n", entry, st.st_mode, st.st_uid,
                           st.st_gid, S_ISREG(st.st_mode) ? (long long)st.st_size : 0,
                           (unsigned long long)st.st_rdev, (unsigned)st.st_nlink);
            if (S_ISDIR(st.st_mode)) {
                list_tree(dir, entry, depth + 1, out);
            }
        }
        free(entries[i]);
    }
    free(entries);
}

struct outcome {
    int code;
    struct buf tree;
    char blob[DIGEST_TEXT_MAX];
    char plain[DIGEST_TEXT_MAX];
};

static void unpack(struct str in, const char *base, struct outcome *ret)
{
    struct err err = {0};
    uint64_t bytes = 0;
    auto_close int fd = fuzz_file(in);
    auto_free char *dir = xasprintf("%s/layer", base);
    must(mkdir(dir, 0755) == 0);
    ret->code = layer_unpack(fd, dir, &limits, ret->blob, ret->plain, &bytes, &err);
    must(ret->code == 0 || err.msg[0] != '\0');
    must(ret->code < 0 || bytes == in.n);
    buf_init(&ret->tree, TREE_MAX);
    list_tree(AT_FDCWD, base, 0, &ret->tree);
    must(dir_remove_all(AT_FDCWD, dir, &err) == 0);
}

/* The layer's parent holds one file with one word, whatever the layer said. */
static void must_be_untouched(const char *base)
{
    auto_buf struct buf word;
    auto_free char *canary = xasprintf("%s/canary", base);
    struct stat st;
    struct err err;
    buf_init(&word, BLOCK);
    must(file_read(AT_FDCWD, canary, &word, &err) == 0 && str_eq(buf_str(&word), S("alive")));
    must(lstat(canary, &st) == 0 && st.st_nlink == 1 && S_ISREG(st.st_mode) &&
         (st.st_mode & 07777) == 0600);
    auto_buf struct buf tree;
    buf_init(&tree, TREE_MAX);
    list_tree(AT_FDCWD, base, 0, &tree);
    must(str_starts(buf_str(&tree), S("canary ")) &&
         str_find(buf_str(&tree), '\n') == (ptrdiff_t)tree.n - 1);
}

static const char *open_base(void)
{
    static char base[64];
    struct err err;
    if (base[0] == '\0') {
        (void)snprintf(base, sizeof base, "/dev/shm/coracle-layer-fuzz-XXXXXX");
        must(mkdtemp(base) != NULL);
    }
    auto_free char *canary = xasprintf("%s/canary", base);
    must(file_write_atomic(AT_FDCWD, canary, S("alive"), 0600, &err) == 0);
    return base;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome first;
    struct outcome second;
    if (size == 0 || size > IN_MAX) {
        return 0;
    }
    const char *base = open_base();
    auto_free uint8_t *tar = xmalloc(size);
    memcpy(tar, data + 1, size - 1);
    if ((data[0] & 1) != 0) {
        mend(tar, size - 1);
    }
    struct str in = {(const char *)tar, size - 1};
    unpack(in, base, &first);
    must_be_untouched(base);
    unpack(in, base, &second);
    must(first.code == second.code);
    must(str_eq(buf_str(&first.tree), buf_str(&second.tree)));
    must(first.code < 0 ||
         (strcmp(first.blob, second.blob) == 0 && strcmp(first.plain, second.plain) == 0));
    buf_done(&first.tree);
    buf_done(&second.tree);
    return 0;
}
