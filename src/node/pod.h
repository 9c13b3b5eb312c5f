// SPDX-License-Identifier: Apache-2.0
//
// The pod worker as its own files see it: struct node (the agent), struct pod (one worker), and the
// verbs by which pod_perform.c, pod_create.c, pod_stop.c, pod_record.c, probe.c and volume.c work
// together. Not for other rooms.
//
// Invariants: (1) one worker a pod uid; (2) whatever is under way holds a reference to its pod;
// (3) facts change only on the loop, and every change ends in pod_wake; (4) what a new brain must
// know is in the pod's record before the runtime is asked to do it.
#ifndef CORACLE_NODE_POD_H
#define CORACLE_NODE_POD_H

#include "base/list.h"
#include "base/map.h"
#include "node/node.h"
#include "node/oci_spec.h"
#include "node/pod_decide.h"
#include "node/sessions.h"

struct probe;
struct slot_pull;
struct volume;
struct http_call;

/* What is under way for one slot; parallel to facts.slots. */
struct slot_work {
    struct pod *pod;
    size_t index;
    struct timer kill_timer;
    struct probe *probes[PROBE_TYPE_COUNT];
    struct slot_pull *pull; /* of its image; NULL = none under way */
    char *rootfs;           /* mounted ahead of its create: "<attempt> <image id>"; NULL = none */
};

struct pod {
    struct node *node;
    struct pod_facts facts;
    struct object *object; /* newest version */
    char *uid;
    char *ns;
    char *name;
    char *dir;     /* root_dir/pods/<uid> */
    char *log_dir; /* log_dir/<ns>_<name>_<uid> */
    struct slot_work **work;
    struct volume **volumes; /* parallel to facts.volumes */
    struct timer wake;
    int refs;
    bool is_wake_asked;
    bool is_over; /* forgotten: waits for its references */
    bool is_writing;
    struct doc *written; /* status as last written, and the revision that came of it */
    uint64_t written_rev;
    usec write_retry_at;
    bool holds_ip;
};

struct node {
    struct node_config config;
    struct arena *arena; /* owns config's strings */
    struct map pods;     /* uid -> struct pod */
    struct map found;    /* container id -> struct container_fact, until its pod takes it */
    struct map orphans;  /* id of a container to be killed -> its pod's "<ns>/<name>" or "" */
    struct sessions *sessions;
    struct oci_machine machine;
    struct doc *allocatable;
    char host_ip[IP4_TEXT_MAX];
    struct list lane; /* network work, one at a time */
    bool is_lane_busy;
    uint32_t ip_last;
    bool has_ip_wrapped;
    usec flows_until; /* till then, flows of pods that an earlier brain removed may live */
    bool is_begun;    /* orphans are known */
    bool is_shutdown;
    void (*shutdown_done)(void *ctx);
    void *shutdown_ctx;
    struct timer shutdown_timer;
    struct timer lease_timer;
    struct timer status_timer;
    struct timer images_timer;
    bool has_gc_failed; /* the last time */
    struct timer orphan_timer;
    struct timer kill_timer;
    bool is_lease_known;
};

/* --- agent.c --- */

bool node_has_disk(const struct node *node);
/* Runs work on the pool, one at a time over the whole node. */
void node_lane(struct node *node, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);
/* Next free pod address after the last used one; 0 = none left. */
uint32_t node_take_address(struct node *node);
/* All workers decide again: an identity is free, an object they wait for changed. */
void node_wake_all(struct node *node);
void node_forget_pod(struct node *node, struct pod *pod);
/* agent_orphans.c: containers of pods that are no more. "<uid>_<container>_<attempt>" into parts.
 */
bool run_id_split(struct str id, struct str *ret_uid, struct str *ret_name, int *ret_attempt);
void node_orphans_find(struct node *node);
void node_orphans_done(struct node *node);
/* true: it was one. */
bool node_orphan_exited(struct node *node, struct str id);
/* An orphan of the pod's name, or of an unknown one, still lives. */
bool node_orphan_blocks(const struct pod *pod);
/* agent_lookup.c: how sessions find containers. */
void pod_lookup_fill(struct node *node, struct pod_lookup *ret);
/* agent_node.c: the Node object and its lease. */
void node_register(struct node *node);
void node_registration_stop(struct node *node);
/* agent_images.c: room on the disk of images. */
void node_images_start(struct node *node);
void node_images_stop(struct node *node);
/* agent_claims.c: directories of volumes that are being deleted. */
void node_volume_event(struct node *node, struct object *object);

/* --- pod_perform.c --- */

struct pod *pod_new(struct node *node, struct object *object);
void pod_free(struct pod *pod); /* at once, whatever is under way: node_free */
struct pod *pod_ref(struct pod *pod);
void pod_unref(struct pod *pod);
void pod_update(struct pod *pod, struct object *object);
void pod_gone(struct pod *pod, struct object *last);
/* Asks for a decision in this turn. */
void pod_wake(struct pod *pod);
/* No container lives. */
bool pod_is_dead(const struct pod *pod);
/* field: "spec.containers{c}" or empty. */
void pod_event(struct pod *pod, struct str field, const char *type, const char *reason,
               struct str message);
void slot_event(struct pod *pod, size_t index, const char *type, const char *reason,
                struct str message);
/* Writes the status when it changed. */
void pod_publish(struct pod *pod);
/* Replaces an owned text; NULL clears. */
void text_set(char **at, const char *text);
/* What a container wrote as text: U+FFFD for bytes that are no UTF-8, and for NUL. */
struct str text_clean(struct arena *arena, struct str bytes);

/* --- pod_create.c, pod_stop.c --- */

/* Begins what the first containers will need, while the sandbox is being made: the runtime's part
 * and the root file system. */
void slots_prepare(struct pod *pod);
void slot_create(struct pod *pod, size_t index);
/* The rest of it, once the image is there; NULL only where the node has no images (simulation). */
void slot_create_from(struct pod *pod, size_t index, const struct image *image);
/* Sets why a container waits. */
void slot_wait(struct slot *slot, const char *reason, struct str message);
/* The container could not be made: says why, and tries again later. */
void slot_fail(struct pod *pod, size_t index, const char *reason, const char *message);
/* pod_image.c: ends the pull of its image, if there is one. */
void slot_cancel_pull(struct pod *pod, size_t index);
void slot_start(struct pod *pod, size_t index);
void slot_discard(struct pod *pod, size_t index);
void slot_post_start(struct pod *pod, size_t index);
void slot_stop(struct pod *pod, size_t index, usec grace, struct str message);
/* The container of cur ended. */
void slot_exited(struct pod *pod, size_t index, const struct container_fact *fact);
/* Takes what is left of an instance away. */
void slot_remove_run(struct pod *pod, size_t index, int attempt);
/* The same of one whose create failed: the next create has its id and waits. */
void slot_take_back(struct pod *pod, size_t index, int attempt);
struct str run_id(const struct pod *pod, const struct slot *slot, int attempt, struct arena *arena);
struct str run_dir(const struct pod *pod, const struct slot *slot, int attempt,
                   struct arena *arena);
struct str run_log(const struct pod *pod, const struct slot *slot, int attempt,
                   struct arena *arena);
struct str run_bundle(const struct node *node, struct str id, struct arena *arena);
/* Sources for env and downward values of this pod. */
struct pod_source pod_source(const struct pod *pod);

/* --- pod_sandbox.c --- */

void pod_network_up(struct pod *pod);
void pod_network_down(struct pod *pod);

/* pod_name.c: until when containers wait for the pod's name to be in DNS; 0 = not, or no longer. */
usec pod_name_wait(const struct pod *pod);
void pod_names_changed(void *ctx, const struct kind *kind, struct object *object,
                       struct object *before, bool is_delete); /* a watch of slices; ctx = node */
/* The pins of an earlier brain are still there. */
bool pod_sandbox_exists(const struct pod *pod);
struct str pod_pin(const struct pod *pod, const char *kind, struct arena *arena);

/* --- pod_record.c --- */

void pod_record_save(struct pod *pod);
void pod_record_load(struct pod *pod);

/* --- hook.c --- */

/* Runs a postStart or preStop handler; done gets NULL or what went wrong. */
typedef void hook_done_fn(void *ctx, const struct err *err);
void hook_run(struct pod *pod, size_t index, const struct val *handler, usec limit,
              hook_done_fn *done, void *ctx);

#endif
