// SPDX-License-Identifier: Apache-2.0
//
// Containers that an earlier brain left and no pod wants any more. A pod that was removed by force
// while no brain ran may have been made anew already, under the same name: its first containers
// must be dead before the second ones start. So a pod waits while an orphan of its name lives, or
// one whose record is lost; an orphan is killed until it is dead, whatever the runtime answers.
#define LOG_ROOM "node"
#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/pod.h"
#include "node/volume.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

enum { SWEEP_DELAY_SECONDS = 5, KILL_AGAIN_SECONDS = 5 };

bool run_id_split(struct str id, struct str *ret_uid, struct str *ret_name, int *ret_attempt)
{
    ptrdiff_t first = str_find(id, '_');
    ptrdiff_t last = str_rfind(id, '_');
    uint64_t attempt;
    if (first < 0 || last <= first ||
        str_to_u64(str_sub(id, (size_t)last + 1, id.n), &attempt) < 0 || attempt > 1 << 30) {
        return false;
    }
    *ret_uid = str_sub(id, 0, (size_t)first);
    *ret_name = str_sub(id, (size_t)first + 1, (size_t)last);
    *ret_attempt = (int)attempt;
    return true;
}

/* "<namespace>/<name>" of a pod that is gone, by its record; "" = nobody knows. Owned. */
static char *recall_name(const struct node *node, struct str uid)
{
    auto_arena struct arena *arena = arena_new((size_t)4 * BODY_BYTES_MAX);
    auto_free char *path = xasprintf(STR_FMT "/pods/" STR_FMT "/worker.json",
                                     STR_ARG(node->config.root_dir), STR_ARG(uid));
    auto_buf struct buf text;
    buf_init(&text, BODY_BYTES_MAX);
    struct val root;
    struct err err = {0};
    if (!node_has_disk(node) || file_read(AT_FDCWD, path, &text, &err) < 0 ||
        json_read(buf_str(&text), arena, NULL, &root, &err) < 0) {
        return xstrdup("");
    }
    return xasprintf(STR_FMT "/" STR_FMT, STR_ARG(val_text_at(&root, "namespace")),
                     STR_ARG(val_text_at(&root, "name")));
}

static void killed(void *ctx, const struct err *err)
{
    (void)ctx;
    if (err) {
        log_warn("killing an orphaned container: %s, trying again", err->msg);
    }
}

static void kill_orphans(void *ctx)
{
    struct node *node = ctx;
    struct runtime *runtime = node->config.runtime;
    for (size_t i = 0; i < node->orphans.count; i++) {
        runtime->ops->kill(runtime, node->orphans.entries[i].key, SIGKILL, killed, node);
    }
    timer_stop(&node->kill_timer);
    if (node->orphans.count > 0) {
        timer_start(node->config.loop, &node->kill_timer, KILL_AGAIN_SECONDS * USEC_PER_SEC,
                    kill_orphans, node);
    }
}

static void add_orphan(struct node *node, struct str id, struct str uid)
{
    char *name = recall_name(node, uid);
    log_info("killing orphaned container " STR_FMT " of pod %s", STR_ARG(id),
             name[0] == '\0' ? "(unknown)" : name);
    free(map_put(&node->orphans, id, name));
}

struct search {
    struct str uid;
    bool is_there;
};

static bool find_uid(void *ctx, struct object *object)
{
    struct search *search = ctx;
    search->is_there = str_eq(val_text_at(object_val(object), "metadata.uid"), search->uid);
    return !search->is_there;
}

/* --- sweeping --- */

static bool is_orphans(const struct node *node, struct str uid)
{
    for (size_t i = 0; i < node->orphans.count; i++) {
        struct str rest = node->orphans.entries[i].key;
        if (str_eq(str_cut(&rest, '_'), uid)) {
            return true;
        }
    }
    return false;
}

/* Unmounts and removes the directories of pods that are no more. */
static void sweep_dirs(struct node *node)
{
    auto_free char *pods = xasprintf(STR_FMT "/pods", STR_ARG(node->config.root_dir));
    DIR *dir = node_has_disk(node) ? opendir(pods) : NULL;
    if (!dir) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct str uid = str_of(entry->d_name);
        if (uid.p[0] == '.' || map_find(&node->pods, uid) || is_orphans(node, uid)) {
            continue;
        }
        auto_free char *path = xasprintf("%s/%s", pods, entry->d_name);
        struct err err = {0};
        if (unmount_below(path, &err) < 0 || dir_remove_all(AT_FDCWD, path, &err) < 0) {
            log_warn("removing %s: %s, ignoring", path, err.msg);
        }
        if (node->config.net && pod_net_remove(node->config.net, entry->d_name, &err) < 0) {
            log_warn("%s, ignoring", err.msg);
        }
    }
    (void)closedir(dir);
}

static void removed(void *ctx, const struct err *err)
{
    (void)ctx;
    if (err) {
        log_warn("removing an orphaned container: %s, ignoring", err->msg);
    }
}

/* What was found and no worker took over. A remote cache may fill late, so this comes a moment
 * after the start. */
static void sweep(void *ctx)
{
    struct node *node = ctx;
    struct runtime *runtime = node->config.runtime;
    size_t known = node->orphans.count;
    for (size_t i = 0; i < node->found.count; i++) {
        struct str id = node->found.entries[i].key;
        const struct container_fact *fact = node->found.entries[i].value;
        struct str uid;
        struct str name;
        int attempt;
        if (!run_id_split(id, &uid, &name, &attempt)) {
            continue;
        }
        struct pod *pod = map_find(&node->pods, uid);
        bool is_known = map_find(&node->orphans, id) != NULL;
        for (size_t k = 0; pod && k < pod->facts.slots_count; k++) {
            const struct slot *slot = &pod->facts.slots[k];
            is_known = is_known || (str_eq(str_of(slot->name), name) &&
                                    slot->cur.attempt >= attempt && slot_is_alive(slot));
        }
        if (!is_known && fact->state == CONTAINER_RUNNING) {
            add_orphan(node, id, uid);
        } else if (!is_known) {
            runtime->ops->remove(runtime, id, removed, node);
        }
    }
    map_done(&node->found, free);
    node->found = (struct map){0};
    if (node->orphans.count > known) {
        kill_orphans(node);
    }
    sweep_dirs(node);
}

/* --- the agent's side --- */

void node_orphans_find(struct node *node)
{
    struct client *client = node->config.client;
    for (size_t i = 0; i < node->found.count; i++) {
        struct str id = node->found.entries[i].key;
        const struct container_fact *fact = node->found.entries[i].value;
        struct search search = {0};
        struct str name;
        int attempt;
        if (fact->state == CONTAINER_RUNNING && run_id_split(id, &search.uid, &name, &attempt) &&
            !map_find(&node->pods, search.uid)) {
            client->ops->list(client, KIND_POD, S(""), find_uid, &search);
            if (!search.is_there) {
                add_orphan(node, id, search.uid);
            }
        }
    }
    node->is_begun = true;
    kill_orphans(node);
    timer_start(node->config.loop, &node->orphan_timer, SWEEP_DELAY_SECONDS * USEC_PER_SEC, sweep,
                node);
}

bool node_orphan_blocks(const struct pod *pod)
{
    const struct map *orphans = &pod->node->orphans;
    auto_free char *name = xasprintf("%s/%s", pod->ns, pod->name);
    if (!pod->node->is_begun) {
        return true; /* nobody knows yet */
    }
    for (size_t i = 0; i < orphans->count; i++) {
        const char *of = orphans->entries[i].value;
        if (of[0] == '\0' || strcmp(of, name) == 0) {
            return true;
        }
    }
    return false;
}

bool node_orphan_exited(struct node *node, struct str id)
{
    struct runtime *runtime = node->config.runtime;
    char *name = map_remove(&node->orphans, id);
    if (!name) {
        return false;
    }
    free(name);
    runtime->ops->remove(runtime, id, removed, node);
    if (node->orphans.count == 0 && node->found.count == 0) {
        sweep_dirs(node);
    }
    node_wake_all(node);
    return true;
}

void node_orphans_done(struct node *node)
{
    timer_stop(&node->orphan_timer);
    timer_stop(&node->kill_timer);
    map_done(&node->orphans, free);
    map_done(&node->found, free);
}
