// SPDX-License-Identifier: Apache-2.0
//
// One volume from its spec to a path on the node: what can be resolved from objects on the loop,
// the disk's part on the pool. A volume that fails is tried again after 0.5 s, doubling to 2 min 2
// s, and at once when an object that it waits for changes.
#define LOG_ROOM "node"
#include "node/volume.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/quantity.h"
#include "node/volume_disk.h"
#include "node/volume_project.h"

#include <fcntl.h>
#include <stdlib.h>

enum { TOKENS_MAX = 8, TOKEN_SECONDS = 3600, RETRY_MAX_SECONDS = 122 };

struct token {
    const struct val *source; /* for the running attempt only */
    char *text;
};

struct volume {
    struct pod *pod;
    size_t index;
    char *path;
    bool is_read_only;
    bool is_busy;
    bool is_stale; /* something changed while busy */
    char *told;    /* last failure told */
    struct timer refresh;
    struct volume_op *op;
};

struct volume_op {
    struct volume *volume; /* NULL: the volume was freed meanwhile */
    struct pod *pod;
    struct arena *arena;
    struct volume_job job;
    struct token tokens[TOKENS_MAX];
    size_t tokens_count;
    size_t tokens_waiting;
    usec refresh_after; /* 0 = never */
};

struct token_call {
    struct volume_op *op;
    size_t index;
};

static const struct val *spec_of(const struct volume *volume)
{
    return val_at(val_path(volume->pod->facts.pod, "spec.volumes"), volume->index);
}

struct volume *volume_new(struct pod *pod, size_t index)
{
    struct volume *volume = xcalloc(1, sizeof *volume);
    volume->pod = pod;
    volume->index = index;
    return volume;
}

void volume_free(struct volume *volume)
{
    timer_stop(&volume->refresh);
    if (volume->op) {
        volume->op->volume = NULL;
    }
    free(volume->path);
    free(volume->told);
    free(volume);
}

static struct volume *find_volume(const struct pod *pod, struct str name)
{
    for (size_t i = 0; i < pod->facts.volumes_count; i++) {
        if (str_eq(str_of(pod->facts.volumes[i].name), name)) {
            return pod->volumes[i];
        }
    }
    return NULL;
}

const char *volume_path(const struct pod *pod, struct str name)
{
    const struct volume *volume = find_volume(pod, name);
    return volume ? volume->path : NULL;
}

bool volume_is_read_only(const struct pod *pod, struct str name)
{
    const struct volume *volume = find_volume(pod, name);
    return volume && volume->is_read_only;
}

/* --- the end of an attempt --- */

static void op_free(struct volume_op *op)
{
    for (size_t i = 0; i < op->tokens_count; i++) {
        free(op->tokens[i].text);
    }
    if (op->volume) {
        op->volume->op = NULL;
        op->volume->is_busy = false;
    }
    pod_unref(op->pod);
    arena_free(op->arena);
    free(op);
}

static void fail(struct volume *volume, const char *message)
{
    struct pod *pod = volume->pod;
    struct volume_fact *fact = &pod->facts.volumes[volume->index];
    usec delay = (USEC_PER_SEC / 2) << (fact->tries < 8 ? fact->tries : 8);
    usec max = RETRY_MAX_SECONDS * USEC_PER_SEC;
    fact->tries++;
    if (fact->state != VOLUME_MOUNTED) { /* a failed refresh leaves what is there */
        fact->state = VOLUME_FAILED;
        fact->retry_at = loop_now(pod->node->config.loop) + (delay > max ? max : delay);
    }
    bool is_claim = val_get(spec_of(volume), S("persistentVolumeClaim"));
    auto_free char *text =
        is_claim
            ? xasprintf("Unable to attach or mount volumes: unmounted volumes=[%s], unattached "
                        "volumes=[], failed to process volumes=[%s]: %s",
                        fact->name, fact->name, message)
            : xasprintf("MountVolume.SetUp failed for volume \"%s\" : %s", fact->name, message);
    if (!volume->told || !str_eq(str_of(volume->told), str_of(text))) {
        pod_event(pod, S(""), "Warning", "FailedMount", str_of(text));
        text_set(&volume->told, text);
    }
    pod_wake(pod);
}

static void refresh_due(void *ctx)
{
    volume_mount(ctx);
}

static void disk_done(void *ctx)
{
    struct volume_op *op = ctx;
    struct volume *volume = op->volume;
    if (!volume) {
        op_free(op);
        return;
    }
    struct pod *pod = op->pod;
    struct volume_fact *fact = &pod->facts.volumes[volume->index];
    bool is_stale = volume->is_stale;
    if (op->job.err.code < 0) {
        fail(volume, op->job.err.msg);
    } else {
        text_set(&volume->path, op->job.path);
        text_set(&volume->told, NULL);
        fact->state = VOLUME_MOUNTED;
        fact->tries = 0;
        if (op->refresh_after > 0) {
            timer_start(pod->node->config.loop, &volume->refresh, op->refresh_after, refresh_due,
                        volume);
        }
        pod_wake(pod);
    }
    op_free(op);
    if (is_stale) {
        volume->is_stale = false;
        volume_mount(volume);
    }
}

static void disk_work(void *ctx)
{
    struct volume_op *op = ctx;
    volume_job_run(&op->job);
}

static void start_disk(struct volume_op *op)
{
    loop_work(op->pod->node->config.loop, disk_work, disk_done, op);
}

/* --- tokens --- */

static struct str token_text(void *ctx, const struct val *source)
{
    struct volume_op *op = ctx;
    for (size_t i = 0; i < op->tokens_count; i++) {
        if (val_eq(op->tokens[i].source, source)) {
            return str_of(op->tokens[i].text);
        }
    }
    return S("");
}

static void project(struct volume_op *op)
{
    struct pod_source source = pod_source(op->pod);
    if (op->job.err.code == 0) {
        int rc = volume_project(&source, spec_of(op->volume), token_text, op, op->arena,
                                &op->job.files, &op->job.err);
        (void)rc; /* carried in job.err */
    }
    if (op->job.err.code < 0) {
        loop_defer(op->pod->node->config.loop, disk_done, op);
        return;
    }
    start_disk(op);
}

static void token_done(void *ctx, struct object *object, const struct val *val,
                       const struct err *err)
{
    struct token_call *call = ctx;
    struct volume_op *op = call->op;
    const struct val *answer = val ? val : object ? object_val(object) : NULL;
    struct str token = val_text_at(answer, "status.token");
    if (err) {
        (void)err_set(&op->job.err, err->code, "failed to fetch token: %s", err->msg);
    } else if (token.n) {
        op->tokens[call->index].text = xstrndup(token.p, token.n);
    } else {
        (void)err_set(&op->job.err, ERR_INTERNAL, "failed to fetch token: empty answer");
    }
    free(call);
    if (--op->tokens_waiting == 0) {
        if (op->volume) {
            project(op);
        } else {
            op_free(op);
        }
    }
}

static void ask_token(struct volume_op *op, const struct val *source)
{
    struct pod *pod = op->pod;
    struct client *client = pod->node->config.client;
    int64_t seconds = val_number(val_get(source, S("expirationSeconds")), TOKEN_SECONDS);
    struct str audience = val_text(val_get(source, S("audience")));
    struct str account = val_text_at(pod->facts.pod, "spec.serviceAccountName");
    struct val body = val_map();
    struct val audiences = val_list();
    val_set_path(op->arena, &body, "apiVersion", val_str(S("authentication.k8s.io/v1")));
    val_set_path(op->arena, &body, "kind", val_str(S("TokenRequest")));
    val_set_path(op->arena, &body, "spec.expirationSeconds", val_int(seconds));
    val_set_path(op->arena, &body, "spec.boundObjectRef.apiVersion", val_str(S("v1")));
    val_set_path(op->arena, &body, "spec.boundObjectRef.kind", val_str(S("Pod")));
    val_set_path(op->arena, &body, "spec.boundObjectRef.name", val_str(str_of(pod->name)));
    val_set_path(op->arena, &body, "spec.boundObjectRef.uid", val_str(str_of(pod->uid)));
    if (audience.n) {
        val_push(op->arena, &audiences, val_str(audience));
    }
    val_set_path(op->arena, &body, "spec.audiences", audiences);
    struct token_call *call = xcalloc(1, sizeof *call);
    *call = (struct token_call){op, op->tokens_count};
    op->tokens[op->tokens_count++].source = source;
    op->tokens_waiting++;
    usec lifetime = seconds * USEC_PER_SEC;
    usec refresh = (lifetime < USEC_PER_DAY ? lifetime : USEC_PER_DAY) / 5 * 4;
    op->refresh_after =
        op->refresh_after && op->refresh_after < refresh ? op->refresh_after : refresh;
    struct client_write write = {.verb = VERB_CREATE,
                                 .kind = KIND_SERVICE_ACCOUNT,
                                 .subresource = S("token"),
                                 .ns = str_of(pod->ns),
                                 .name = account.n ? account : S("default"),
                                 .body = &body,
                                 .grace_seconds = -1};
    struct err err = {0};
    if (client->ops->write(client, &write, token_done, call, &err) < 0) {
        op->tokens_waiting--;
        free(call);
        op->job.err = err;
    }
}

static void start_projected(struct volume_op *op)
{
    const struct val *sources = val_path(spec_of(op->volume), "projected.sources");
    for (size_t i = 0; i < val_count(sources) && op->tokens_count < TOKENS_MAX; i++) {
        const struct val *token = val_get(val_at(sources, i), S("serviceAccountToken"));
        if (token) {
            /* The source must outlive this version of the pod. */
            struct val *copy = arena_alloc(op->arena, sizeof *copy);
            *copy = val_copy(op->arena, token);
            ask_token(op, copy);
        }
    }
    if (op->tokens_waiting == 0) {
        project(op);
    }
}

/* --- claims --- */

static int resolve_claim(struct volume_op *op, struct str claim, struct err *err)
{
    struct client *client = op->pod->node->config.client;
    struct object *pvc = client->ops->get(client, KIND_PVC, str_of(op->pod->ns), claim);
    if (!pvc) {
        return err_set(err, ERR_NOT_FOUND,
                       "error processing PVC %s/" STR_FMT ": persistentvolumeclaim \"" STR_FMT
                       "\" not found",
                       op->pod->ns, STR_ARG(claim), STR_ARG(claim));
    }
    const struct val *v = object_val(pvc);
    struct str name = val_text_at(v, "spec.volumeName");
    if (!str_eq(val_text_at(v, "status.phase"), S("Bound")) || name.n == 0) {
        return err_set(err, ERR_AGAIN, "error processing PVC %s/" STR_FMT ": PVC is not bound",
                       op->pod->ns, STR_ARG(claim));
    }
    struct object *pv = client->ops->get(client, KIND_PV, S(""), name);
    const struct val *p = pv ? object_val(pv) : NULL;
    const struct val *host = val_path(p, "spec.hostPath");
    const struct val *local = val_path(p, "spec.local");
    struct str path = val_text(val_get(host ? host : local, S("path")));
    if (!p) {
        return err_set(err, ERR_NOT_FOUND, "persistentvolume \"" STR_FMT "\" not found",
                       STR_ARG(name));
    }
    if (path.n == 0 || path.p[0] != '/') {
        return err_set(err, ERR_UNSUPPORTED,
                       "persistentvolume \"" STR_FMT
                       "\" is of a kind that this node can't mount (hostPath and local are)",
                       STR_ARG(name));
    }
    op->job.path = arena_dup(op->arena, path).p;
    struct str provisioner = val_text(
        val_get(val_path(p, "metadata.annotations"), S("pv.kubernetes.io/provisioned-by")));
    bool is_own = str_eq(provisioner, S("coracle.io/directory"));
    op->job.kind = local && !is_own ? JOB_HOST : JOB_CLAIM;
    op->job.type = S("Directory");
    if (!local && !is_own) {
        op->job.kind = JOB_HOST;
        op->job.type = arena_dup(op->arena, val_text(val_get(host, S("type"))));
    }
    op->job.wants_group = is_own || local;
    return 0;
}

/* --- kinds --- */

/* tmpfs size: the limit, no more than all the containers may use together. */
static int64_t memory_size(const struct volume_op *op, const struct val *empty)
{
    struct quantity q;
    struct err err = {0};
    struct str limit = val_text(val_get(empty, S("sizeLimit")));
    int64_t size = op->pod->node->machine.memory_bytes;
    if (limit.n && quantity_parse(limit, &q, &err) == 0 && quantity_units(q) > 0) {
        size = quantity_units(q) < size ? quantity_units(q) : size;
    }
    int64_t sum = 0;
    const struct val *containers = val_path(op->pod->facts.pod, "spec.containers");
    for (size_t i = 0; i < val_count(containers); i++) {
        struct str memory = val_text_at(val_at(containers, i), "resources.limits.memory");
        if (memory.n == 0 || quantity_parse(memory, &q, &err) < 0) {
            return size;
        }
        sum += quantity_units(q);
    }
    return sum > 0 && sum < size ? sum : size;
}

static const char *own_path(const struct volume_op *op, const char *plugin)
{
    return arena_fmt(op->arena, "%s/volumes/kubernetes.io~%s/%s", op->pod->dir, plugin,
                     op->pod->facts.volumes[op->volume->index].name)
        .p;
}

/* Fills the job from the spec; ERR_* with the message of FailedMount. */
static int resolve(struct volume_op *op, struct err *err)
{
    const struct val *spec = spec_of(op->volume);
    const struct val *part;
    struct volume_job *job = &op->job;
    job->wants_group = true;
    if ((part = val_get(spec, S("emptyDir")))) {
        bool is_memory = str_eq(val_text(val_get(part, S("medium"))), S("Memory"));
        job->kind = is_memory ? JOB_TMPFS : JOB_EMPTY;
        job->path = own_path(op, "empty-dir");
        job->size = is_memory ? memory_size(op, part) : 0;
        return 0;
    }
    if ((part = val_get(spec, S("hostPath")))) {
        job->kind = JOB_HOST;
        job->wants_group = false;
        job->path = arena_dup(op->arena, val_text(val_get(part, S("path")))).p;
        job->type = arena_dup(op->arena, val_text(val_get(part, S("type"))));
        return 0;
    }
    if (volume_is_projected(spec)) {
        job->kind = JOB_FILES;
        job->path = own_path(op, val_get(spec, S("configMap"))     ? "configmap"
                                 : val_get(spec, S("secret"))      ? "secret"
                                 : val_get(spec, S("downwardAPI")) ? "downward-api"
                                                                   : "projected");
        job->is_memory = !val_get(spec, S("configMap"));
        op->volume->is_read_only = false;
        return 0;
    }
    if ((part = val_get(spec, S("persistentVolumeClaim")))) {
        op->volume->is_read_only = val_is_true(val_get(part, S("readOnly")));
        return resolve_claim(op, val_text(val_get(part, S("claimName"))), err);
    }
    if (val_get(spec, S("ephemeral"))) {
        return resolve_claim(op,
                             arena_fmt(op->arena, "%s-%s", op->pod->name,
                                       op->pod->facts.volumes[op->volume->index].name),
                             err);
    }
    return err_set(err, ERR_UNSUPPORTED, "no volume plugin matched");
}

void volume_mount(struct volume *volume)
{
    struct pod *pod = volume->pod;
    struct volume_fact *fact = &pod->facts.volumes[volume->index];
    if (volume->is_busy) {
        volume->is_stale = true;
        return;
    }
    struct volume_op *op = xcalloc(1, sizeof *op);
    op->volume = volume;
    op->pod = pod_ref(pod);
    op->arena = arena_new(REQUEST_ARENA_MAX);
    op->job.group = -1;
    op->job.wall = loop_wall(pod->node->config.loop);
    op->job.stamp = rng_next(pod->node->config.rng) & 0xffffffff;
    const struct val *context = val_path(pod->facts.pod, "spec.securityContext");
    volume->op = op;
    volume->is_busy = true;
    if (fact->state != VOLUME_MOUNTED) {
        fact->state = VOLUME_MOUNTING;
    }
    if (resolve(op, &op->job.err) < 0) {
        loop_defer(pod->node->config.loop, disk_done, op);
        return;
    }
    if (op->job.wants_group) {
        op->job.group = val_number(val_get(context, S("fsGroup")), -1);
        op->job.is_on_mismatch =
            str_eq(val_text(val_get(context, S("fsGroupChangePolicy"))), S("OnRootMismatch"));
    }
    if (op->job.kind == JOB_FILES) {
        start_projected(op);
    } else {
        start_disk(op);
    }
}

/* --- changes --- */

/* Does a volume that failed wait for an object like this? */
static bool may_wait_for(const struct val *spec, enum kind_id kind, struct str name)
{
    if (kind == KIND_PVC || kind == KIND_PV) {
        return val_get(spec, S("persistentVolumeClaim")) || val_get(spec, S("ephemeral"));
    }
    return volume_shows(spec, kind, name);
}

void volumes_object_changed(struct pod *pod, enum kind_id kind, struct str name)
{
    struct pod_facts *f = &pod->facts;
    if (f->is_gone || f->is_unmounting || pod_is_deleting(f)) {
        return;
    }
    for (size_t i = 0; i < f->volumes_count; i++) {
        const struct val *spec = spec_of(pod->volumes[i]);
        if (!may_wait_for(spec, kind, name)) {
            continue;
        }
        if (f->volumes[i].state == VOLUME_FAILED) {
            f->volumes[i].retry_at = 0;
            pod_wake(pod);
        } else if (f->volumes[i].state != VOLUME_ABSENT && volume_is_projected(spec)) {
            volume_mount(pod->volumes[i]);
        }
    }
    for (size_t i = 0; i < f->slots_count; i++) {
        struct slot *slot = &f->slots[i];
        if (slot->wait_reason && kind != KIND_PV && kind != KIND_PVC &&
            str_eq(str_of(slot->wait_reason), S("CreateContainerConfigError"))) {
            slot->retry_at = 0;
            pod_wake(pod);
        }
    }
}

/* --- taking away --- */

struct unmount_op {
    struct pod *pod;
    struct err err;
};

static void unmount_work(void *ctx)
{
    struct unmount_op *op = ctx;
    int rc = unmount_below(op->pod->dir, &op->err);
    (void)rc; /* told by unmount_done */
}

static void unmount_done(void *ctx)
{
    struct unmount_op *op = ctx;
    struct pod *pod = op->pod;
    if (op->err.code < 0) {
        log_warn("pod %s/%s: %s, ignoring", pod->ns, pod->name, op->err.msg);
    }
    pod->facts.is_unmounting = false;
    pod->facts.has_mounts = false;
    pod_wake(pod);
    pod_unref(pod);
    free(op);
}

void volumes_unmount(struct pod *pod)
{
    struct unmount_op *op = xcalloc(1, sizeof *op);
    op->pod = pod_ref(pod);
    pod->facts.is_unmounting = true;
    for (size_t i = 0; i < pod->facts.volumes_count; i++) {
        timer_stop(&pod->volumes[i]->refresh);
        pod->facts.volumes[i].state = VOLUME_ABSENT;
    }
    loop_work(pod->node->config.loop, unmount_work, unmount_done, op);
}
