// SPDX-License-Identifier: Apache-2.0
//
// The short-lived process that reads archives and speaks to registries: "coracle image-worker". Its
// request is one line of JSON on standard input, a socket; see image_job.c for the answers.
// Whatever an archive or a registry does to it, the brain only sees a process that failed, and the
// machine one that can reach nothing but the store (image_confine.h).
#include "base/fd.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/image.h"
#include "node/image_confine.h"
#include "node/image_load.h"
#include "node/image_pull.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_line(const struct val *line)
{
    auto_buf struct buf text;
    struct err err;
    buf_init(&text, IMAGE_JSON_BYTES_MAX);
    (void)json_write(&text, line);
    (void)buf_addc(&text, '\n');
    if (fd_write_all(STDOUT_FILENO, buf_str(&text), &err) < 0) {
        _exit(1); /* nobody listens any more */
    }
}

static void write_progress(const struct val *progress)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct val line = val_map();
    (void)val_set(arena, &line, S("progress"), *progress);
    write_line(&line);
}

/* The other end of our socket went: whoever asked does not care any more. */
static void on_sigio(int signal)
{
    char byte;
    int saved = errno;
    (void)signal;
    if (recv(STDIN_FILENO, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        _exit(1);
    }
    errno = saved;
}

static void die_with_peer(void)
{
    const struct sigaction action = {.sa_handler = on_sigio, .sa_flags = SA_RESTART};
    (void)sigaction(SIGIO, &action, NULL);
    (void)fcntl(STDIN_FILENO, F_SETOWN, getpid());
    (void)fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_ASYNC);
    on_sigio(SIGIO); /* it may have gone before */
}

static int read_request(struct arena *arena, struct val *ret, struct err *err)
{
    auto_buf struct buf text;
    buf_init(&text, IMAGE_JSON_BYTES_MAX);
    while (text.n == 0 || text.p[text.n - 1] != '\n') {
        char *room = buf_room(&text, 4096);
        ssize_t n = room == NULL ? 0 : read(STDIN_FILENO, room, 4096);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return err_set(err, ERR_INVALID, "image-worker is for the cluster's own use");
        }
        buf_grew(&text, n < 0 ? 0 : (size_t)n);
    }
    return json_read(arena_dup(arena, buf_str(&text)), arena, NULL, ret, err);
}

enum { READS_MAX = 64 };

/* registries.yaml names files of its own. */
static void add_authorities(const struct val *registries, struct arena *arena,
                            const char *reads[static READS_MAX])
{
    const struct val *configs = val_get(registries, S("configs"));
    size_t count = 0;
    for (size_t i = 0; val_is(configs, VAL_MAP) && i < configs->n && count < READS_MAX - 1; i++) {
        struct str file = val_text(val_path(&configs->members[i].val, "tls.ca_file"));
        if (str_starts(file, S("/"))) {
            reads[count++] = arena_dup(arena, file).p;
        }
    }
}

static int load(struct str archive, const char *store, struct arena *arena, struct val *ret,
                struct err *err)
{
    const char *const reads[] = {arena_dup(arena, archive).p, NULL};
    const struct image_reach reach = {.store = store, .reads = reads};
    struct val images;
    if (image_confine(&reach, err) < 0 ||
        image_load_into(reads[0], store, arena, &images, err) < 0) {
        return err->code;
    }
    (void)val_set(arena, ret, S("images"), images);
    return 0;
}

static int pull(const struct val *request, const char *store, struct arena *arena, struct val *ret,
                struct err *err)
{
    const char *reads[READS_MAX] = {NULL};
    const struct image_reach reach = {.store = store, .reads = reads, .has_network = true};
    struct val registries;
    if (image_pull_registries(store, arena, &registries, err) < 0) {
        return err->code;
    }
    add_authorities(&registries, arena, reads);
    return image_confine(&reach, err) < 0
               ? err->code
               : image_pull_into(request, &registries, write_progress, arena, ret, err);
}

void image_worker_main(void)
{
    struct err err = {0};
    struct val request;
    struct val answer = val_map();
    struct arena *arena = arena_new(IMAGE_ARENA_MAX);
    (void)prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0);
    (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    (void)umask(0);
    int r = read_request(arena, &request, &err);
    if (r == 0) {
        die_with_peer();
        struct str archive = val_text_at(&request, "archive");
        const char *store = arena_dup(arena, val_text_at(&request, "store")).p;
        r = archive.n > 0 ? load(archive, store, arena, &answer, &err)
                          : pull(&request, store, arena, &answer, &err);
    }
    if (r < 0) {
        (void)val_set(arena, &answer, S("error"), val_str(str_of(err.msg)));
        (void)val_set(arena, &answer, S("code"), val_int(err.code));
    }
    write_line(&answer);
    _exit(r < 0 ? 1 : 0);
}
