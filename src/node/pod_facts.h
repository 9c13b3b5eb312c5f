// SPDX-License-Identifier: Apache-2.0
//
// What the node knows about one pod: its object, its containers (slots), its sandbox and its
// volumes. pod_decide.c and pod_status.c read these facts and nothing else; pod_perform.c and its
// neighbours write them. Points in time named _at are monotonic, those named _wall are wall time.
#ifndef CORACLE_NODE_POD_FACTS_H
#define CORACLE_NODE_POD_FACTS_H

#include "base/clock.h"
#include "data/val.h"

enum slot_class { SLOT_INIT, SLOT_SIDECAR, SLOT_MAIN, SLOT_EPHEMERAL };
enum run_state { RUN_NONE, RUN_CREATED, RUN_RUNNING, RUN_EXITED };
enum probe_type { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_TYPE_COUNT };
enum probe_verdict { VERDICT_UNKNOWN, VERDICT_SUCCESS, VERDICT_FAILURE };

enum { RUN_GROUPS_MAX = 32 };

/* Who its first process runs as. */
struct run_user {
    bool is_known;
    uint32_t uid;
    uint32_t groups[RUN_GROUPS_MAX]; /* the first is its gid */
    size_t groups_count;
};

/* One instance of a container. */
struct run {
    enum run_state state;
    int attempt; /* counts from 0; restartCount of the newest */
    int sandbox; /* the sandbox it lives in: init containers count per sandbox */
    int exit_code;
    bool is_oom;
    bool is_lost;        /* vanished: ContainerStatusUnknown */
    bool is_start_error; /* never ran: StartError */
    usec started_wall;
    usec finished_wall;
    char *message;  /* termination message, owned, NULL = none */
    char *image;    /* as reported, owned */
    char *image_id; /* owned */
    struct run_user user;
};

/* One container of the pod's spec. */
struct slot {
    char *name; /* owned */
    enum slot_class class;
    const struct val *spec; /* in the pod object */
    struct run cur;         /* newest instance; state RUN_NONE = none yet */
    struct run last;        /* the one before */
    bool is_pending;        /* a create, start or hook is under way */
    bool is_clearing;       /* what a failed create left is being removed: the next has its id */
    bool is_stopping;
    usec stop_at;      /* while stopping: when SIGKILL is due */
    bool must_restart; /* a probe or a hook condemned cur */
    char *stop_message;
    usec stop_grace; /* of must_restart; -1 = the pod's */
    bool has_probe[PROBE_TYPE_COUNT];
    enum probe_verdict verdicts[PROBE_TYPE_COUNT];
    bool is_post_start_done;
    usec backoff;    /* 0 = none yet */
    usec backoff_at; /* when it was last raised */
    usec restart_at; /* cur exited: not before */
    bool is_backoff_told;
    usec retry_at;     /* after a failed create: not before */
    char *wait_reason; /* why it doesn't run, owned, NULL = default */
    char *wait_message;
    bool is_pulling;    /* pending, and it is the image that it waits for */
    usec image_backoff; /* of pulls */
    usec image_at;      /* next pull: not before */
    char *image_error;  /* of the last pull, owned */
};

enum volume_state { VOLUME_ABSENT, VOLUME_MOUNTING, VOLUME_MOUNTED, VOLUME_FAILED };
struct volume_fact {
    char *name; /* owned */
    enum volume_state state;
    usec retry_at;
    int tries;
};

enum sandbox_state { SANDBOX_NONE, SANDBOX_MAKING, SANDBOX_READY, SANDBOX_REMOVING };

struct pod_facts {
    const struct val *pod; /* newest object */
    struct slot *slots;    /* init in spec order, main in spec order, ephemeral */
    size_t slots_count;
    struct volume_fact *volumes;
    size_t volumes_count;
    bool has_dirs;
    usec dirs_retry_at;
    enum sandbox_state sandbox_state;
    int sandbox; /* number of the present or next sandbox */
    usec sandbox_retry_at;
    char ip[16];          /* empty = none; kept after the sandbox is gone */
    char *host_ip;        /* owned */
    bool is_gone;         /* the object was removed (forced) */
    bool is_blocked;      /* something older of this name still runs */
    usec name_wait_until; /* its name isn't in DNS yet: no container before then; 0 = no wait */
    bool is_port_taken;   /* a pod that is here already has one of its host ports */
    bool is_shutdown;     /* the node stops: stop, but write no end */
    const char *runtime;  /* "crun": prefix of container ids */
    char *end_reason;     /* DeadlineExceeded, a rejection …; owned, NULL = none */
    char *end_message;    /* owned */
    usec start_wall;      /* status.startTime; 0 = not yet */
    usec stop_begun_at;   /* when deletion was first seen; 0 = not */
    int removing_count;   /* removals of dead containers under way */
    bool has_mounts;      /* something may be mounted */
    bool is_unmounting;
    bool is_deleting; /* the final DELETE is under way */
    usec delete_retry_at;
    usec now;
    usec now_wall;
};

enum { POD_GRACE_MIN_SECONDS = 2 };

/* The restart decision of spec/node.md 1.1 for a container that ended with exit_code. */
bool slot_wants_restart(const struct pod_facts *facts, const struct slot *slot, int exit_code);
/* CREATED or RUNNING, or on its way. */
bool slot_is_alive(const struct slot *slot);
bool slot_is_started(const struct slot *slot); /* running and startup probe passed */
/* The specification names another image than the instance was made of: it is made anew. */
bool slot_is_outdated(const struct slot *slot);
bool slot_is_ready(const struct slot *slot);
/* deletionTimestamp set, or the object is gone. */
bool pod_is_deleting(const struct pod_facts *facts);
bool pod_is_host_network(const struct val *pod);
/* A main container has an instance in the present sandbox. */
bool pod_is_initialized(const struct pod_facts *facts);
/* Nothing is left to do for its containers: all done for good, or an init container failed so. */
bool pod_is_completed(const struct pod_facts *facts);
/* "name_namespace(uid)" as messages print a pod. */
struct str pod_rendering(struct arena *arena, const struct val *pod);

#endif
