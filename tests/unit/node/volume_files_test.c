// SPDX-License-Identifier: Apache-2.0
#include "node/volume_files.h"

#include "test.h"

#include "base/fd.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_file(const char *dir, const char *name, const char *want)
{
    auto_free char *path = xasprintf("%s/%s", dir, name);
    auto_buf struct buf text;
    struct err err = {0};
    buf_init(&text, 1 << 16);
    EXPECT_OK(file_read(AT_FDCWD, path, &text, &err));
    EXPECT_STR(want, buf_str(&text));
}

static char *data_target(const char *dir)
{
    auto_free char *path = xasprintf("%s/..data", dir);
    char out[128] = "";
    EXPECT(readlink(path, out, sizeof out - 1) > 0);
    return xstrdup(out);
}

TEST(volume_files_swap_all_at_once)
{
    char dir[] = "/tmp/coracle-volume-XX"
                 "XX"
                 "XX";
    EXPECT(mkdtemp(dir) != NULL);
    struct arena *arena = arena_new(1 << 20);
    struct err err = {0};
    struct volume_files one = {0};
    struct volume_file a = {S("app.conf"), S("1"), 0644, -1};
    struct volume_file b = {S("sub/deep.conf"), S("2"), 0600, -1};
    EXPECT_OK(volume_files_add(&one, arena, a, &err));
    EXPECT_OK(volume_files_add(&one, arena, b, &err));
    EXPECT_OK(volume_files_write(dir, &one, -1, 0, 1, &err));
    expect_file(dir, "app.conf", "1");
    expect_file(dir, "sub/deep.conf", "2");
    auto_free char *first = data_target(dir);
    EXPECT_STR("..1970_01_01_00_00_00.1", str_of(first));

    /* the same again changes nothing */
    EXPECT_OK(volume_files_write(dir, &one, -1, 0, 2, &err));
    auto_free char *again = data_target(dir);
    EXPECT_STR(first, str_of(again));

    /* a changed file, a new one, one gone */
    struct volume_files two = {0};
    a.bytes = S("one");
    struct volume_file c = {S("new"), S("3"), 0644, -1};
    EXPECT_OK(volume_files_add(&two, arena, a, &err));
    EXPECT_OK(volume_files_add(&two, arena, c, &err));
    EXPECT_OK(volume_files_write(dir, &two, -1, 0, 3, &err));
    expect_file(dir, "app.conf", "one");
    expect_file(dir, "new", "3");
    auto_free char *gone = xasprintf("%s/sub", dir);
    auto_free char *old = xasprintf("%s/%s", dir, first);
    struct stat st;
    EXPECT(lstat(gone, &st) < 0);
    EXPECT(lstat(old, &st) < 0);
    EXPECT_OK(dir_remove_all(AT_FDCWD, dir, &err));
    arena_free(arena);
}

TEST(volume_files_refuse_paths_that_lead_out)
{
    static const char *const bad[] = {"",       "/etc/passwd", "../x", "a/../../x",
                                      "..data", "a//b",        "./a"};
    struct arena *arena = arena_new(1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};
        struct volume_files files = {0};
        struct volume_file file = {str_of(bad[i]), S("x"), 0644, -1};
        EXPECT(volume_files_add(&files, arena, file, &err) == ERR_INVALID);
    }
    arena_free(arena);
}
