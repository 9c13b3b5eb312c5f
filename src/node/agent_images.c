// SPDX-License-Identifier: Apache-2.0
//
// The disk that holds images is looked at every five minutes, as kubelet does; image_gc.h has the
// policy.
#define LOG_ROOM "node"
#include "base/log.h"
#include "base/mem.h"
#include "node/image_gc.h"
#include "node/pod.h"

#include <sys/statvfs.h>

enum { FIRST_SECONDS = 10, PERIOD_SECONDS = 300 };

static void look_at_disk(void *ctx, uint64_t *ret_bytes, uint64_t *ret_free)
{
    const struct node *node = ctx;
    struct statvfs fs;
    if (statvfs(image_store_dir(node->config.images), &fs) == 0) {
        *ret_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
        *ret_free = (uint64_t)fs.f_bavail * fs.f_frsize;
    }
}

/* Pods that wait for their turn have no root file system yet. */
static bool is_wanted(void *ctx, const struct image *image)
{
    struct node *node = ctx;
    for (size_t i = 0; i < node->pods.count; i++) {
        const struct pod *pod = node->pods.entries[i].value;
        for (size_t k = 0; k < pod->facts.slots_count; k++) {
            struct str ref = val_text(val_get(pod->facts.slots[k].spec, S("image")));
            if (image_find(node->config.images, ref) == image) {
                return true;
            }
        }
    }
    return false;
}

static void node_event(struct node *node, const char *reason, const char *message)
{
    struct object *object =
        node->config.client->ops->get(node->config.client, KIND_NODE, S(""), node->config.name);
    struct event_source source = {S("kubelet"), node->config.name};
    log_warn("%s", message);
    if (object != NULL && node->config.recorder != NULL) {
        recorder_event(node->config.recorder, source, kind_of(KIND_NODE), object_val(object), S(""),
                       S("Warning"), str_of(reason), str_of(message));
    }
}

static void images_due(void *ctx)
{
    struct node *node = ctx;
    const struct image_gc gc = {.disk = look_at_disk, .is_wanted = is_wanted, .ctx = node};
    struct err err = {0};
    int r = image_gc(node->config.images, &gc, &err);
    int seconds = r == ERR_AGAIN ? FIRST_SECONDS : PERIOD_SECONDS;
    if (r == ERR_LIMIT) {
        node_event(node, "FreeDiskSpaceFailed", err.msg);
    }
    if (r < 0 && r != ERR_AGAIN) {
        if (node->has_gc_failed) { /* once may pass */
            node_event(node, "ImageGCFailed", err.msg);
        }
        node->has_gc_failed = true;
    } else if (r == 0) {
        node->has_gc_failed = false;
    }
    timer_start(node->config.loop, &node->images_timer, seconds * USEC_PER_SEC, images_due, node);
}

void node_images_start(struct node *node)
{
    if (node_has_disk(node) && node->config.images != NULL) {
        timer_start(node->config.loop, &node->images_timer, FIRST_SECONDS * USEC_PER_SEC,
                    images_due, node);
    }
}

void node_images_stop(struct node *node)
{
    timer_stop(&node->images_timer);
}
