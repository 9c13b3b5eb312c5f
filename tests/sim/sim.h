// SPDX-License-Identifier: Apache-2.0
//
// The simulation: the brain's rooms (store, api, client, control, controllers, scheduler) on the
// virtual loop and a disk made of memory, a fake kubelet and a fake user beside them, faults in
// between, and checks that look on from outside. Everything that happens follows from one seed.
//
// Invariants: (1) no chance but sim->rng and sim->brain_rng, no time but the loop's; (2) checks
// read committed state only and never write; (3) what outlives a crash of the brain is the disk,
// the kubelet's containers, the user's intentions and the checks' memory.
#ifndef CORACLE_TESTS_SIM_SIM_H
#define CORACLE_TESTS_SIM_SIM_H

#include "base/map.h"
#include "client/client.h"
#include "control/control.h"
#include "controllers/meta.h"
#include "store/journal.h"

enum { SETS_MAX = 3, TRACE_LINES = 200 };

/* What one set looks like; the user's intention, which outlives the object. */
struct plan {
    const char *name;
    const char *ns;
    bool is_parallel, is_on_delete, has_scaled_delete, has_deleted_delete;
    bool is_bad; /* the template names an image that never starts */
    bool is_wanted;
    bool is_sick; /* in phase 2 its template is bad (Parallel) */
    int replicas, start, partition, max_unavailable, min_ready, templates_count, history, grace;
    int version, version_before;
};

/* By which policies a step of the run is counted: a write of a set, or of what it owns, that all
 * checks saw. */
enum {
    POLICY_ORDERED,
    POLICY_ORDERED_ON_DELETE,
    POLICY_PARALLEL,
    POLICY_PARALLEL_ON_DELETE,
    POLICY_MAX_UNAVAILABLE, /* above one */
    POLICY_PARTITION,       /* above 0 */
    POLICIES
};

/* The options of a run, drawn from its seed: each run has its own mix (swarm testing). */
struct swarm {
    int sets_count;
    struct plan plans[SETS_MAX];
    unsigned ops;
    unsigned op_gap_ms;
    unsigned crash, disk_fault, jump; /* per 10,000 turns */
    bool has_day_jumps;               /* not beside minReadySeconds: a ready time would lie ahead */
    unsigned cut, refuse;             /* per 10,000 writes */
    unsigned remote_ms; /* the controllers' server is so far away; 0 = in this process */
    unsigned start_ms, ready_ms, stop_ms;
    unsigned flap, fail; /* per 1,000 of a ready pod's looks */
    unsigned lie;        /* per 1,000 of the machine's acts */
    bool has_bad_templates, has_deletes, has_label_ops, has_claim_deletes, has_edits, has_moves;
    bool has_holds, has_drains, has_tweaks;
    bool has_agent; /* the node's own agent over a fake runtime, instead of the fake kubelet */
};

/* Changes to the StatefulSet controller that the checks must notice (mutation.c). */
#define MUTATIONS(X)                                                                               \
    X(NONE, "none")                                                                                \
    X(IGNORES_PARTITION, "the update ignores the partition")                                       \
    X(IGNORES_ORDER, "an OrderedReady set creates without waiting")                                \
    X(DELETES_TWO, "the update deletes one pod more than the budget")                              \
    X(ACTS_WHILE_DELETING, "a set that is being deleted still gets its pods")                      \
    X(DELETES_CLAIMS, "scaling down deletes the claim itself")                                     \
    X(WRONG_STATUS, "readyReplicas is one too many")                                               \
    X(FORGETS_PODS, "the pod with ordinal 1 is never created")                                     \
    X(NO_PAUSE, "a pod is made anew at once")                                                      \
    X(PROMOTES_EARLY, "#119685: promotion compares with status.replicas")                          \
    X(WAITS_AT_BROKEN, "#67250: an OrderedReady set waits at a broken pod of an old revision")     \
    X(BROKEN_EAT_BUDGET, "#137409: broken old pods of a Parallel set use up the budget")           \
    X(COUNTS_BELOW, "#75498: a deleted pod of any revision lowers currentReplicas")                \
    X(STALE_STATUS, "#108837: a decision that makes a pod leaves the status for later")            \
    X(NEW_REVISIONS, "#61998, #134773: the stored template differs from the same served one")      \
    X(NO_CLAIM_BARRIER, "#74374: a pod is created on a claim that is about to go")                 \
    X(NO_LATE_CLAIM, "#89910, #113139: a Pending pod's missing claim is not made")                 \
    X(WAITS_FOR_HIGHER, "e2e 3: a pod is not made while a higher one is not ready")                \
    X(KEEPS_FAILED, "e2e 12: a Failed pod is not replaced")                                        \
    X(OLD_ON_DELETE, "e2e 9: OnDelete makes pods at the current revision")                         \
    X(TRUNCATES_LIVE, "2.12: the history forgets what a pod still runs")                           \
    X(NO_UID, "12: a pod is deleted by name only")                                                 \
    X(TAKES_STRANGERS, "7: a new set takes over the pods of the one before it")
enum mutation {
#define MUTATION_ID(id, text) MUTATION_##id,
    MUTATIONS(MUTATION_ID)
#undef MUTATION_ID
        MUTATION_COUNT
};
const char *mutation_text(enum mutation mutation);
/* The row to run in place of row. */
const struct controller *mutation_row(enum mutation mutation, const struct controller *row);

/* What the checks remember of an object, by uid. */
enum {
    NOTE_USER_DELETED = 1,       /* the user asked for its deletion */
    NOTE_CONTROLLER_DELETED = 2, /* the StatefulSet controller did */
    NOTE_GARBAGE_DELETED = 4,    /* the garbage collector or the namespace's end did */
    NOTE_ORPHANING = 8,          /* a set deleted with propagation Orphan */
    NOTE_LATE = 16 /* given to an orphaning set by a remote controller that didn't know yet */
};

struct kubelet;
struct machine;
struct scenario;

/* What is kept of a run's lines: a run is the same with and without. */
enum trace { TRACE_NONE, TRACE_TAIL, TRACE_ALL };

struct sim {
    uint64_t seed;
    enum mutation mutation;
    const struct scenario *scenario; /* NULL: a random user */
    enum trace trace;
    bool is_cut;  /* the brain is dead, and the turn not over */
    bool is_calm; /* phase 2: no faults, no user */
    struct swarm swarm;
    struct rng rng;
    struct rng brain_rng;
    struct journal_disk *disk;
    usec mono_before; /* lived by earlier brains */
    usec wall_start;
    /* the brain */
    struct loop *loop;
    struct store *store;
    struct api *api;
    struct client *client;
    struct client *user;
    struct client *node;
    struct control *control;
    struct watch *watch;
    uint64_t watch_rev; /* of the watch before the last crash; 0 at first */
    struct timer user_timer;
    /* beside it */
    struct kubelet *kubelet;
    struct machine *machine;
    unsigned ops_done;
    unsigned turns, decisions;
    unsigned brains; /* so many have begun */
    uint64_t writes;
    uint64_t steps[POLICIES];
    /* the checks' memory */
    struct map shadow; /* key to struct object *: the last state seen */
    struct map notes;  /* uid to struct note * */
    struct map paces;  /* controller and key to struct pace * */
    struct map ends;   /* "<ns>/<pod>" to struct end * */
    char *lines[TRACE_LINES];
    size_t lines_count;
    bool is_failed;
    char failure[1024];
};

/* world.c: one run, of a seed or of a scenario (NULL = none). */
bool sim_run(uint64_t seed, enum mutation mutation, const struct scenario *scenario,
             enum trace trace, struct sim *sim);
usec sim_now(const struct sim *sim); /* since the run began, over crashes */
void sim_trace(struct sim *sim, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The first failure ends the run. check: the number in the spec or a word. */
void sim_fail(struct sim *sim, const char *check, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool sim_chance(struct sim *sim, unsigned per, unsigned of);
const struct val *sim_get(struct sim *sim, enum kind_id kind, struct str ns, struct str name);
struct objs sim_list(struct sim *sim, struct arena *arena, enum kind_id kind, struct str ns);
/* A write whose body is JSON text made by printf; errors are traced, done may be NULL. */
int sim_write(struct sim *sim, struct client *client, struct client_write write,
              client_done_fn *done, void *ctx, struct str json);

/* swarm.c */
void swarm_draw(struct sim *sim);

/* scenario.c: scripts in place of the random user. NULL = there are no more. */
const struct scenario *scenario_at(size_t i);
const char *scenario_name(const struct scenario *scenario);
void scenario_draw(struct sim *sim);
usec scenario_delay(const struct sim *sim); /* until its next act */
void scenario_act(struct sim *sim);

/* faults.c */
/* A client that fails on its way to inner, which it owns. */
struct client *faulty_new(struct sim *sim, struct client *inner, bool is_remote);
void faulty_free(struct client *client);
/* After a turn. true: the brain has to die here. */
bool fault(struct sim *sim);
void faults_end(struct sim *sim);

/* user.c: creates what the plans want, then changes its mind at random. */
void user_start(struct sim *sim);
void user_heal(struct sim *sim, bool is_first);
void user_patch(struct sim *sim, enum kind_id kind, const struct val *obj, struct str json);
/* A random object of a kind in the plan's namespace, or NULL. */
const struct val *user_any(struct sim *sim, struct arena *arena, const struct plan *p,
                           enum kind_id kind);
void user_delete(struct sim *sim, enum kind_id kind, const struct val *obj, int64_t grace_seconds);
enum { MODE_BACKGROUND, MODE_FOREGROUND, MODE_ORPHAN, MODES };
void user_delete_set(struct sim *sim, const struct plan *p, size_t mode);
void user_write_template(struct sim *sim, const struct plan *p);

/* user_holds.c: what a user puts in the way, and takes away in phase 2. */
void op_finalizer(struct sim *sim, struct plan *p);
void op_squat(struct sim *sim, struct plan *p);
void op_cordon(struct sim *sim, struct plan *p);
void op_evict(struct sim *sim, struct plan *p);
void op_drain(struct sim *sim, struct plan *p);
void op_budget(struct sim *sim, struct plan *p);
void op_stranger(struct sim *sim, struct plan *p);
void op_renew(struct sim *sim, struct plan *p);
void op_lose_revision(struct sim *sim, struct plan *p);
void user_close_node(struct sim *sim, bool is_closed);
/* All of it goes; called until nothing is left. */
void user_let_go(struct sim *sim);
bool is_squatter(const struct val *pod);

/* kubelet.c */
struct kubelet *kubelet_new(struct sim *sim);
void kubelet_attach(struct kubelet *kubelet); /* to a new brain */

/* machine.c: containers that outlive the brain, and the node agent that starts them. */
struct machine *machine_new(struct sim *sim);
void machine_attach(struct machine *machine); /* opens the agent in a new brain */
void machine_detach(struct machine *machine); /* the agent goes, containers stay */
/* At rest: a running container for each ready pod, and no other. */
bool machine_is_right(struct machine *machine, struct buf *why);

/* facts.c */
unsigned note_of(struct sim *sim, struct str uid);
void note_add(struct sim *sim, struct str uid, unsigned bits);

#endif
