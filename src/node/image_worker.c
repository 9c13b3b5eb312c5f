// SPDX-License-Identifier: Apache-2.0
//
// The short-lived process that reads archives: "coracle image-worker ARCHIVE STORE". It tells its
// result as one JSON document on standard output, {"images": […]} or {"code": -4, "error": "…"}.
// Whatever an archive does to it, the brain only sees a process that failed.
#include "base/fd.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/image.h"
#include "node/image_load.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

void image_worker_main(int argc, char **argv)
{
    struct err err = {0};
    struct val images = val_list();
    struct val result = val_map();
    struct arena *arena = arena_new(IMAGE_ARENA_MAX);
    auto_buf struct buf text;
    const struct rlimit no_core = {0, 0};
    buf_init(&text, IMAGE_JSON_BYTES_MAX);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)umask(0);
    int r = argc < 3 ? err_set(&err, ERR_INVALID, "usage: image-worker ARCHIVE STORE")
                     : image_load_into(argv[argc - 2], argv[argc - 1], arena, &images, &err);
    if (r < 0) {
        (void)val_set(arena, &result, S("code"), val_int(err.code));
        (void)val_set(arena, &result, S("error"), val_str(str_of(err.msg)));
    } else {
        (void)val_set(arena, &result, S("images"), images);
    }
    (void)json_write(&text, &result);
    r = fd_write_all(STDOUT_FILENO, buf_str(&text), &err) < 0 ? -1 : r;
    buf_done(&text);
    arena_free(arena);
    exit(r < 0 ? 1 : 0);
}
