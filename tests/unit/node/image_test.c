// SPDX-License-Identifier: Apache-2.0
#include "archive_fixture.h"
#include "sandbox.h"

#include "base/fd.h"
#include "base/mem.h"
#include "node/image_load.h"
#include "node/image_store.h"
#include "node/layer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <zlib.h>

struct place {
    char dir[64];
};

static struct place place_new(void)
{
    static int serial;
    struct err err;
    struct place p;
    (void)snprintf(p.dir, sizeof p.dir, "/tmp/coracle-image-%d-%d", (int)getpid(), serial++);
    EXPECT_OK(dir_make_all(p.dir, 0755, &err));
    return p;
}

static void place_done(const struct place *p)
{
    struct err err;
    EXPECT_OK(dir_remove_all(AT_FDCWD, p->dir, &err));
}

static int unpack(const struct place *p, struct str bytes, const struct layer_limits *limits,
                  struct err *err)
{
    char blob[DIGEST_TEXT_MAX];
    char plain[DIGEST_TEXT_MAX];
    uint64_t n;
    auto_free char *file = xasprintf("%s.blob", p->dir);
    EXPECT(file_write_atomic(AT_FDCWD, file, bytes, 0600, err) == 0);
    auto_close int fd = open(file, O_RDONLY | O_CLOEXEC);
    (void)unlink(file);
    return layer_unpack(fd, p->dir, limits, blob, plain, &n, err);
}

TEST(hostile_layers_are_refused_by_name)
{
    static const struct {
        char type;
        const char *name, *link;
        const char *words;
    } cases[] = {
        {'0', "../evil",      "",                 "'../evil' leads out of the archive"                        },
        {'0', "a/../../evil", "",                 "'a/../../evil' leads out"                                  },
        {'0', "out/evil",     "",                 "directory of entry 'out/evil'"                             },
        {'0', "loop/evil",    "",                 "'loop/evil' goes through something that is not a directory"},
        {'0', "file/evil",    "",                 "'file/evil' goes through"                                  },
        {'1', "hard",         "../../etc/passwd", "link target '../../etc/passwd' leads out"                  },
        {'1', "hard",         "out/passwd",       "directory of entry 'out/passwd'"                           },
        {'1', "hard",         "absent",           "entry 'hard': link to 'absent'"                            },
        {'3', "device",       "",                 "entry 'device': is a device 0/0"                           },
        {'0', ".wh...",       "",                 "entry '.wh...': not a file name to hide"                   },
        {'0', "out/.wh.x",    "",                 "directory of entry 'out/.wh.x'"                            },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct place p = place_new();
        struct err err = {0};
        auto_buf struct buf tar;
        buf_init(&tar, 1 << 20);
        tar_add(&tar, '2', "out", "/tmp", S(""));
        tar_add(&tar, '2', "loop", "loop", S(""));
        tar_add(&tar, '5', "dir/", "", S(""));
        tar_add(&tar, '0', "file", "", S("text"));
        tar_add(&tar, cases[i].type, cases[i].name, cases[i].link, S(""));
        tar_end(&tar);
        EXPECT(unpack(&p, buf_str(&tar), &layer_limits_default, &err) < 0);
        if (str_search(str_of(err.msg), str_of(cases[i].words)) < 0) {
            EXPECT_STR(cases[i].words, str_of(err.msg));
        }
        EXPECT(access("/tmp/evil", F_OK) < 0);
        place_done(&p);
    }
}

TEST(entries_find_their_directories_in_the_layer)
{
    /* entry, link that it goes through, where it is found */
    static const struct {
        const char *name, *link, *found;
    } cases[] = {
        {"inside/text",     "dir",             "dir/text"      },
        {"inside/text",     "/dir",            "dir/text"      },
        {"inside/text",     "../../dir",       "dir/text"      },
        {"inside/sub/text", "dir",             "dir/sub/text"  },
        {"inside/text",     "/",               "text"          },
        {"inside/text",     "/../../../../..", "text"          },
        {"/dir/text",       "dir",             "dir/text"      },
        {"//text",          "dir",             "text"          },
        {"dir/a/b/c/text",  "dir",             "dir/a/b/c/text"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct place p = place_new();
        struct err err = {0};
        auto_buf struct buf tar;
        buf_init(&tar, 1 << 20);
        tar_add(&tar, '5', "dir/", "", S(""));
        tar_add(&tar, '2', "inside", cases[i].link, S(""));
        tar_add(&tar, '0', cases[i].name, "", S("text"));
        tar_add(&tar, '1', "hard", cases[i].name, S(""));
        tar_end(&tar);
        EXPECT_OK(unpack(&p, buf_str(&tar), &layer_limits_default, &err));
        auto_free char *found = xasprintf("%s/%s", p.dir, cases[i].found);
        struct stat st;
        EXPECT(lstat(found, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 2);
        place_done(&p);
    }
}

TEST(layers_keep_within_their_limits)
{
    struct place p = place_new();
    struct err err = {0};
    auto_buf struct buf tar;
    buf_init(&tar, 1 << 20);
    tar_add(&tar, '0', "a", "", S("text"));
    tar_add(&tar, '0', "b", "", S("text"));
    tar_end(&tar);
    const struct layer_limits few = {.bytes_max = 1 << 20, .entries_max = 1};
    const struct layer_limits small = {.bytes_max = 1024, .entries_max = 10};
    EXPECT_INT(ERR_LIMIT, unpack(&p, buf_str(&tar), &few, &err));
    EXPECT_INT(ERR_LIMIT, unpack(&p, buf_str(&tar), &small, &err));
    EXPECT(unpack(&p, str_sub(buf_str(&tar), 0, 700), &layer_limits_default, &err) < 0);
    EXPECT(unpack(&p, S("\x1f\x8b\x08 broken"), &layer_limits_default, &err) < 0);
    place_done(&p);
}

TEST(layers_hide_what_is_below)
{
    if (geteuid() != 0) {
        skip();
    }
    struct place p = place_new();
    struct err err = {0};
    struct stat st;
    char value[8];
    auto_buf struct buf tar;
    auto_free char *gone = xasprintf("%s/a/gone", p.dir);
    auto_free char *kept = xasprintf("%s/a/kept", p.dir);
    auto_free char *dir = xasprintf("%s/a", p.dir);
    buf_init(&tar, 1 << 20);
    tar_add(&tar, '0', "a/.wh.gone", "", S(""));
    tar_add(&tar, '0', "a/kept", "", S("text"));
    tar_add(&tar, '0', "a/.wh.kept", "", S(""));
    tar_add(&tar, '0', "a/.wh..wh..opq", "", S(""));
    tar_add(&tar, '0', "a/.wh..wh.plnk", "", S(""));
    tar_end(&tar);
    EXPECT_OK(unpack(&p, buf_str(&tar), &layer_limits_default, &err));
    EXPECT(lstat(gone, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0);
    EXPECT(lstat(kept, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 4);
    EXPECT(getxattr(dir, "user.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y');
    place_done(&p);
}

struct loaded {
    bool is_done;
    char text[600];
    char name[200];
};

static void on_loaded(void *ctx, const struct str *names, size_t count, const struct err *err)
{
    struct loaded *l = ctx;
    l->is_done = true;
    (void)snprintf(l->text, sizeof l->text, "%.500s", err == NULL ? "" : err->msg);
    (void)snprintf(l->name, sizeof l->name, STR_FMT, STR_ARG(count == 0 ? S("") : names[0]));
}

static void write_archive(const char *path, const char *tag, bool is_damaged)
{
    struct err err;
    struct buf layers[2];
    auto_buf struct buf out;
    buf_init(&out, 1 << 20);
    buf_init(&layers[0], 1 << 20);
    buf_init(&layers[1], 1 << 20);
    tar_add(&layers[0], '5', "etc/", "", S(""));
    tar_add(&layers[0], '0', "etc/one", "", S("below"));
    tar_add(&layers[0], '0', "etc/two", "", S("below"));
    tar_end(&layers[0]);
    tar_add(&layers[1], '0', "etc/.wh.one", "", S(""));
    tar_add(&layers[1], '0', "etc/two", "", S("above"));
    tar_end(&layers[1]);
    docker_archive(&out, tag, layers, 2);
    if (is_damaged) {
        out.p[str_search(buf_str(&out), S("above"))] = 'A';
    }
    CHECK_OK(file_write_atomic(AT_FDCWD, path, buf_str(&out), 0600, &err));
    buf_done(&layers[0]);
    buf_done(&layers[1]);
}

static void load(struct image_store *store, struct loop *loop, const char *path, struct loaded *l)
{
    *l = (struct loaded){0};
    image_load(store, path, on_loaded, l);
    sandbox_wait(loop, &l->is_done);
}

static void run_store(void)
{
    struct err err;
    struct loaded l;
    struct loop *loop = loop_new();
    struct image_store *store = image_store_open(loop, "/run/images", &err);
    CHECK(store != NULL);
    write_archive("/run/bad.tar", "demo:1", true);
    load(store, loop, "/run/bad.tar", &l);
    CHECK(str_search(str_of(l.text), S("image archive '/run/bad.tar': layer 2 ('1.tar'): unpacked "
                                       "digest is")) == 0);
    CHECK(image_find(store, S("demo:1")) == NULL);
    write_archive("/run/good.tar", "demo:1", false);
    load(store, loop, "/run/good.tar", &l);
    CHECK_STR("", str_of(l.text));
    CHECK_STR("docker.io/library/demo:1", str_of(l.name));
    const struct image *image = image_find(store, S("demo:1"));
    CHECK(image != NULL && image_find(store, image->id) == image);
    CHECK_STR("sh", val_text_at(image->config, "Cmd.0"));
    CHECK_OK(rootfs_mount(store, S("demo:1"), "/run/pod", &err));
    CHECK(access("/run/pod/rootfs/etc/one", F_OK) < 0);
    auto_buf struct buf text;
    buf_init(&text, 100);
    CHECK_OK(file_read(AT_FDCWD, "/run/pod/rootfs/etc/two", &text, &err));
    CHECK_STR("above", buf_str(&text));
    CHECK_INT(ERR_CONFLICT, image_remove(store, S("demo:1"), &err));
    image_store_close(store);
    store = image_store_open(loop, "/run/images", &err); /* the next brain */
    CHECK(store != NULL && image_find(store, S("demo:1")) != NULL);
    CHECK_INT(ERR_CONFLICT, image_remove(store, S("demo:1"), &err));
    CHECK_OK(rootfs_unmount(store, "/run/pod", &err));
    CHECK_OK(rootfs_unmount(store, "/run/pod", &err));
    CHECK(access("/run/pod", F_OK) < 0);
    CHECK_OK(image_remove(store, S("demo:1"), &err));
    CHECK_INT(ERR_NOT_FOUND, image_remove(store, S("demo:1"), &err));
    image_store_close(store);
    sandbox_pause(loop, 5);
    loop_free(loop);
}

TEST(images_are_loaded_mounted_and_removed)
{
    sandbox_run(run_store);
}
