// SPDX-License-Identifier: Apache-2.0
//
// Taking over what an earlier brain left (spec/node.md 13.1): every link in containers/ is a
// container, or the remains of a create that was cut short; those are swept.
#include "node/conmon.h"

#include "base/fd.h"
#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* The OCI runtime's exec fifo is there until the container is started. */
static bool is_waiting_for_start(const struct runtime_conmon *rt, const struct container *c)
{
    auto_free char *fifo = xasprintf("%s/%s/exec.fifo", rt->oci, c->id);
    return access(fifo, F_OK) == 0;
}

static void on_swept(void *ctx, const struct command_result *result)
{
    struct op *op = ctx;
    (void)result;
    op->command = NULL;
    conmon_forget(op->rt, op->id, op->container->bundle);
    op_finish(op);
}

/* A create that nobody finished: the container never ran and nobody knows its id. */
static void sweep(struct runtime_conmon *rt, const char *id, const char *bundle)
{
    struct op *op = op_new(rt, str_of(id), NULL, NULL);
    op->container = container_new(rt, str_of(id), str_of(bundle), (struct str){0});
    if (!op_call_oci(op, (const char *const[]){"delete", "-f", op->id, NULL}, on_swept)) {
        op_finish_soon(op);
    }
}

static void adopt_one(struct op *op, const char *id, const char *bundle)
{
    struct runtime_conmon *rt = op->rt;
    struct err err;
    struct container *c = container_load(rt, str_of(id), bundle, &err);
    if (c == NULL) {
        sweep(rt, id, bundle);
        return;
    }
    if (c->is_lost) {
        c->state = CONTAINER_EXITED;
        c->exit_code = 137;
    } else if (!conmon_read_exit(rt, c)) {
        c->state = is_waiting_for_start(rt, c) ? CONTAINER_CREATED : CONTAINER_RUNNING;
        if (c->conmon_fd < 0) {
            conmon_lose(rt, c);
        }
    }
    (void)map_put(&rt->containers, str_of(id), c);
    if (c->conmon_fd >= 0 && conmon_watch(rt, c, &err) < 0) {
        op->err = err;
    }
    struct container_fact fact = container_fact(c);
    op->adopt_each(op->ctx, &fact);
}

static void adopt_all(void *ctx)
{
    struct op *op = ctx;
    struct runtime_conmon *rt = op->rt;
    DIR *dir = opendir(rt->links);
    if (dir == NULL) {
        (void)err_errno(&op->err, "open directory '%s'", rt->links);
    }
    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        char bundle[PATH_MAX];
        ssize_t n = readlinkat(dirfd(dir), e->d_name, bundle, sizeof bundle - 1);
        if (n > 0 && map_find(&rt->containers, str_of(e->d_name)) == NULL) {
            bundle[n] = '\0';
            adopt_one(op, e->d_name, bundle);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    op_finish(op);
}

void conmon_adopt(struct runtime *base, void (*each)(void *ctx, const struct container_fact *fact),
                  runtime_done_fn *done, void *ctx)
{
    struct runtime_conmon *rt = container_of(base, struct runtime_conmon, base);
    struct op *op = op_new(rt, (struct str){0}, done, ctx);
    op->adopt_each = each;
    timer_start(rt->loop, &op->timer, 0, adopt_all, op);
}
