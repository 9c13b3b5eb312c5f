// SPDX-License-Identifier: Apache-2.0
//
// Directories of claims: a PersistentVolume with the finalizer coracle.io/directory that is being
// deleted, and whose claim is gone, loses its directory first and the finalizer then. Only
// directories beneath volumes_dir are ever removed.
#define LOG_ROOM "node"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const struct str finalizer = {"coracle.io/directory", 20};

struct claim_op {
    struct node *node;
    char *name; /* of the volume */
    char *root;
    char *path;
    struct err err;
};

static bool has_finalizer(const struct val *pv)
{
    const struct val *list = val_path(pv, "metadata.finalizers");
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text(val_at(list, i)), finalizer)) {
            return true;
        }
    }
    return false;
}

/* The claim that the volume was made for still exists. */
static bool is_claimed(struct node *node, const struct val *pv)
{
    struct client *client = node->config.client;
    struct object *pvc =
        client->ops->get(client, KIND_PVC, val_text_at(pv, "spec.claimRef.namespace"),
                         val_text_at(pv, "spec.claimRef.name"));
    struct str uid = val_text_at(pv, "spec.claimRef.uid");
    return pvc && (uid.n == 0 || str_eq(val_text_at(object_val(pvc), "metadata.uid"), uid));
}

static void remove_dir(void *ctx)
{
    struct claim_op *op = ctx;
    auto_free char *root = realpath(op->root, NULL);
    auto_free char *path = realpath(op->path, NULL);
    if (!path && errno == ENOENT) {
        return;
    }
    size_t n = root ? strlen(root) : 0;
    if (!path || !root || !str_starts(str_of(path), str_of(root)) || path[n] != '/') {
        (void)err_set(&op->err, ERR_DENIED, "\"%s\" does not lie beneath \"%s\"", op->path,
                      op->root);
        return;
    }
    int rc = dir_remove_all(AT_FDCWD, path, &op->err);
    (void)rc; /* told by dir_removed */
}

static void dir_removed(void *ctx)
{
    struct claim_op *op = ctx;
    struct node *node = op->node;
    struct client *client = node->config.client;
    struct object *object = client->ops->get(client, KIND_PV, S(""), str_of(op->name));
    if (op->err.code < 0) {
        log_warn("removing the directory of volume %s: %s, leaving it", op->name, op->err.msg);
        if (object && node->config.recorder) {
            struct event_source source = {S("coracle.io/directory"), node->config.name};
            recorder_event(node->config.recorder, source, kind_of(KIND_PV), object_val(object),
                           S(""), S("Warning"), S("VolumeFailedDelete"), str_of(op->err.msg));
        }
    } else if (object) {
        struct arena *arena = arena_new(1 << 20);
        struct val body = val_copy(arena, object_val(object));
        struct val *list = val_slot_path(&body, "metadata.finalizers");
        for (size_t i = val_count(list); i-- > 0;) {
            if (str_eq(val_text(val_at(list, i)), finalizer)) {
                val_drop(list, i);
            }
        }
        struct client_write write = {.verb = VERB_UPDATE,
                                     .kind = KIND_PV,
                                     .name = str_of(op->name),
                                     .body = &body,
                                     .grace_seconds = -1};
        struct err err = {0};
        if (client->ops->write(client, &write, NULL, NULL, &err) < 0) {
            /* Another controller was faster: its change brings us here again. */
            bool is_race = err.code == ERR_CONFLICT || err.code == ERR_NOT_FOUND;
            log_write(is_race ? LOG_DEBUG : LOG_WARN, LOG_ROOM,
                      "volume %s: %s, trying again at its next change", op->name, err.msg);
        }
        arena_free(arena);
    }
    free(op->name);
    free(op->root);
    free(op->path);
    free(op);
}

void node_volume_event(struct node *node, struct object *object)
{
    const struct val *pv = object_val(object);
    struct str path = val_text_at(pv, "spec.hostPath.path");
    path = path.n ? path : val_text_at(pv, "spec.local.path");
    if (!node_has_disk(node) || !val_path(pv, "metadata.deletionTimestamp") || !has_finalizer(pv) ||
        is_claimed(node, pv) || path.n == 0) {
        return;
    }
    struct str name = val_text_at(pv, "metadata.name");
    struct claim_op *op = xcalloc(1, sizeof *op);
    op->node = node;
    op->name = xstrndup(name.p, name.n);
    op->root = xstrndup(node->config.volumes_dir.p, node->config.volumes_dir.n);
    op->path = xstrndup(path.p, path.n);
    loop_work(node->config.loop, remove_dir, dir_removed, op);
}
