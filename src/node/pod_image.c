// SPDX-License-Identifier: Apache-2.0
#include "node/pod_image.h"

#include "base/enc.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/image_access.h"
#include "registry/credentials.h"
#include "registry/reference.h"

#include <stdlib.h>

#define LOG_ROOM "node"

enum {
    LOOK_SECONDS = 10,    /* an image that is being waited for may be loaded by hand */
    BACKOFF_SECONDS = 10, /* after the first failed pull; doubles */
    BACKOFF_MAX_SECONDS = 300
};

struct slot_pull {
    struct pod *pod;
    size_t index;
    char *ref;
    usec begun;
    struct image_pull *pull;
    struct doc *secrets; /* {"namespace", "name", "uid"} of each of its documents */
};

struct str span_text(struct arena *arena, usec span)
{
    long long ms = (long long)(span / USEC_PER_MS);
    if (ms < 1000) {
        return arena_fmt(arena, "%lldms", ms);
    }
    struct str seconds = arena_fmt(arena, "%lld.%03lld", ms / 1000 % 60, ms % 1000);
    while (seconds.p[seconds.n - 1] == '0') {
        seconds.n--;
    }
    seconds.n -= seconds.p[seconds.n - 1] == '.';
    return ms < 60000 ? arena_fmt(arena, STR_FMT "s", STR_ARG(seconds))
                      : arena_fmt(arena, "%lldm" STR_FMT "s", ms / 60000, STR_ARG(seconds));
}

/* --- credentials --- */

/* The configuration in a secret of one of the two types, as text. */
static bool read_secret(const struct val *secret, struct arena *arena, struct str *ret)
{
    /* type, key */
    static const struct {
        const char *type, *key;
    } kinds[] = {
        {"kubernetes.io/dockerconfigjson", ".dockerconfigjson"},
        {"kubernetes.io/dockercfg",        ".dockercfg"       }
    };
    auto_buf struct buf text;
    buf_init(&text, BODY_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct str data = val_text(val_get(val_get(secret, S("data")), str_of(kinds[i].key)));
        if (str_eq(val_text_at(secret, "type"), str_of(kinds[i].type)) &&
            base64_decode(&text, data) == 0) {
            *ret = arena_dup(arena, buf_str(&text));
            return true;
        }
    }
    return false;
}

/* The configurations of its secrets, as texts, and whose they are: two lists. Secrets that are
 * missing are named in ret_missing. */
static void pull_documents(struct pod *pod, struct arena *arena, struct val *ret_texts,
                           struct val *ret_secrets, struct str *ret_missing)
{
    struct client *client = pod->node->config.client;
    const struct val *list = val_path(pod->facts.pod, "spec.imagePullSecrets");
    *ret_texts = *ret_secrets = val_list();
    *ret_missing = (struct str){0};
    for (size_t i = 0; i < val_count(list); i++) {
        struct str name = val_text_at(val_at(list, i), "name");
        struct object *secret = client->ops->get(client, KIND_SECRET, str_of(pod->ns), name);
        struct str text;
        if (secret == NULL) {
            *ret_missing = arena_fmt(arena, STR_FMT "%s" STR_FMT, STR_ARG(*ret_missing),
                                     ret_missing->n > 0 ? ", " : "", STR_ARG(name));
        } else if (read_secret(object_val(secret), arena, &text)) {
            struct val row = val_map();
            (void)val_set(arena, &row, S("namespace"), val_str(str_of(pod->ns)));
            (void)val_set(arena, &row, S("name"), val_str(arena_dup(arena, name)));
            (void)val_set(
                arena, &row, S("uid"),
                val_str(arena_dup(arena, val_text_at(object_val(secret), "metadata.uid"))));
            (void)val_push(arena, ret_secrets, row);
            (void)val_push(arena, ret_texts, val_str(text));
        }
    }
}

static struct image_secret secret_of(const struct val *row, struct str hash)
{
    return (struct image_secret){.ns = val_text_at(row, "namespace"),
                                 .name = val_text_at(row, "name"),
                                 .uid = val_text_at(row, "uid"),
                                 .hash = hash};
}

/* An image that is here: does the pod have what it was pulled with? */
static bool may_use(struct pod *pod, const struct image *image, struct str ref)
{
    struct image_store *images = pod->node->config.images;
    if (image_may_use(images, image, ref, NULL, 0)) {
        return true;
    }
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val texts;
    struct val rows;
    struct str missing;
    struct reference r;
    struct err err;
    struct val documents = val_list();
    struct credential found[CREDENTIALS_MAX];
    struct image_secret secrets[CREDENTIALS_MAX];
    pull_documents(pod, arena, &texts, &rows, &missing);
    for (size_t i = 0; i < val_count(&texts); i++) {
        struct val v = val_null();
        (void)!json_read(val_text(val_at(&texts, i)), arena, NULL, &v, &err);
        (void)val_push(arena, &documents, v);
    }
    if (reference_parse(ref, &r, &err) < 0) {
        return false;
    }
    size_t count =
        credentials_find(&documents, r.domain, reference_repository(arena, &r), arena, found);
    for (size_t i = 0; i < count; i++) {
        char hash[DIGEST_TEXT_MAX];
        credential_hash(&found[i], hash);
        secrets[i] =
            secret_of(val_at(&rows, (size_t)found[i].document), arena_dup(arena, str_of(hash)));
    }
    return image_may_use(images, image, ref, secrets, count);
}

/* --- pulling --- */

static void fail_pull(struct pod *pod, size_t index, const char *ref, const struct err *err)
{
    struct slot *slot = &pod->facts.slots[index];
    auto_arena struct arena *arena = arena_new(1 << 20);
    usec now = loop_now(pod->node->config.loop);
    usec max = BACKOFF_MAX_SECONDS * USEC_PER_SEC;
    slot_event(pod, index, "Warning", "Failed",
               arena_fmt(arena, "Failed to pull image \"%s\": %s", ref, err->msg));
    slot_event(pod, index, "Warning", "Failed", S("Error: ErrImagePull"));
    slot_wait(slot, "ErrImagePull", str_of(err->msg));
    text_set(&slot->image_error, err->msg);
    slot->image_backoff =
        slot->image_backoff ? slot->image_backoff * 2 : BACKOFF_SECONDS * USEC_PER_SEC;
    slot->image_backoff = slot->image_backoff > max ? max : slot->image_backoff;
    slot->image_at = now + slot->image_backoff + USEC_PER_SEC;
    slot->retry_at = now + USEC_PER_SEC; /* the back-off shows a moment later */
}

static void back_off(struct pod *pod, size_t index, struct str ref)
{
    struct slot *slot = &pod->facts.slots[index];
    auto_arena struct arena *arena = arena_new(1 << 20);
    usec look = loop_now(pod->node->config.loop) + LOOK_SECONDS * USEC_PER_SEC;
    struct str text = arena_fmt(arena, "Back-off pulling image \"" STR_FMT "\"", STR_ARG(ref));
    slot->is_pending = false;
    slot->retry_at = look < slot->image_at ? look : slot->image_at;
    if (!slot->wait_reason || !str_eq(str_of(slot->wait_reason), S("ImagePullBackOff"))) {
        slot_event(pod, index, "Normal", "BackOff", text);
        slot_event(pod, index, "Warning", "Failed", S("Error: ImagePullBackOff"));
        slot_wait(slot, "ImagePullBackOff",
                  arena_fmt(arena, STR_FMT ": ErrImagePull: %s", STR_ARG(text),
                            slot->image_error ? slot->image_error : ""));
    }
    pod_wake(pod);
}

static void pull_free(struct slot_pull *p)
{
    p->pod->work[p->index]->pull = NULL;
    p->pod->facts.slots[p->index].is_pulling = false;
    p->pod->facts.slots[p->index].is_pending = false;
    pod_wake(p->pod);
    pod_unref(p->pod);
    doc_unref(p->secrets);
    free(p->ref);
    free(p);
}

static void remember_leave(struct slot_pull *p, const struct image *image,
                           const struct image_leave *leave)
{
    const struct val *row =
        leave->document < 0 ? NULL : val_at(&p->secrets->root, (size_t)leave->document);
    struct image_secret secret = secret_of(row, leave->hash);
    struct err err;
    if (image_allow(p->pod->node->config.images, image, str_of(p->ref),
                    row == NULL ? NULL : &secret, &err) < 0) {
        log_warn("%s", err.msg); /* the next pod asks the registry again */
    }
}

static void pulled(void *ctx, const struct image *image, const struct image_leave *leave,
                   const struct err *err)
{
    struct slot_pull *p = ctx;
    struct pod *pod = p->pod;
    size_t index = p->index;
    struct slot *slot = &pod->facts.slots[index];
    struct str ref = val_text(val_get(slot->spec, S("image")));
    bool is_same = str_eq(ref, str_of(p->ref)); /* else another image is wanted by now */
    if (err != NULL && is_same) {
        fail_pull(pod, index, p->ref, err);
    } else if (err == NULL) {
        remember_leave(p, image, leave);
        auto_arena struct arena *arena = arena_new(1 << 20);
        struct str span = span_text(arena, loop_now(pod->node->config.loop) - p->begun);
        slot_event(pod, index, "Normal", "Pulled",
                   arena_fmt(arena,
                             "Successfully pulled image \"%s\" in " STR_FMT " (" STR_FMT
                             " including waiting). Image size: %llu bytes.",
                             p->ref, STR_ARG(span), STR_ARG(span),
                             (unsigned long long)image->bytes));
        slot->image_backoff = 0;
        slot->image_at = 0;
    }
    pod_ref(pod);
    pull_free(p);
    if (err == NULL && is_same && !pod->is_over) {
        slot->is_pending = true;
        slot_create_from(pod, index, image);
    }
    pod_unref(pod);
}

static void start_pull(struct pod *pod, size_t index, struct str ref)
{
    struct node *node = pod->node;
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct slot_pull *p = xcalloc(1, sizeof *p);
    struct val documents;
    struct val secrets;
    struct str missing;
    pull_documents(pod, arena, &documents, &secrets, &missing);
    if (missing.n > 0) {
        pod_event(pod, S(""), "Warning", "FailedToRetrieveImagePullSecret",
                  arena_fmt(arena,
                            "Unable to retrieve some image pull secrets (" STR_FMT
                            "); attempting to pull the image may not succeed.",
                            STR_ARG(missing)));
    }
    p->secrets = doc_freeze(&secrets);
    p->pod = pod_ref(pod);
    p->index = index;
    p->ref = xstrndup(ref.p, ref.n);
    p->begun = loop_now(node->config.loop);
    slot_event(pod, index, "Normal", "Pulling",
               arena_fmt(arena, "Pulling image \"" STR_FMT "\"", STR_ARG(ref)));
    pod->work[index]->pull = p;
    pod->facts.slots[index].is_pulling = true;
    p->pull = image_pull(node->config.images, ref, &documents, /*progress=*/NULL, pulled, p);
}

void slot_cancel_pull(struct pod *pod, size_t index)
{
    struct slot_pull *p = pod->work[index]->pull;
    if (p != NULL) {
        image_pull_cancel(p->pull);
        pull_free(p);
    }
}

/* --- policy --- */

static bool wants_pull(const struct image *image, struct str ref, struct str policy)
{
    if (image == NULL) {
        return true;
    }
    /* What an archive brought has no registry to ask: its name may be somebody else's there. */
    return str_eq(policy, S("Always")) && image_digest_name(image, ref).n > 0;
}

const struct image *slot_image(struct pod *pod, size_t index)
{
    struct slot *slot = &pod->facts.slots[index];
    struct str ref = val_text(val_get(slot->spec, S("image")));
    struct str policy = val_text(val_get(slot->spec, S("imagePullPolicy")));
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct str name;
    struct err err = {0};
    const struct image *image = image_find(pod->node->config.images, ref);
    if (!image && reference_normalise(arena, ref, &name, &err) < 0) {
        struct str text = arena_fmt(arena, "Failed to apply default image tag \"" STR_FMT "\": %s",
                                    STR_ARG(ref), err.msg);
        slot_event(pod, index, "Warning", "InspectFailed", text);
        slot_fail(pod, index, "InvalidImageName", text.p);
        return NULL;
    }
    if (image != NULL && !may_use(pod, image, ref)) {
        image = NULL; /* as if it were not here: the registry decides */
    }
    if (!image && str_eq(policy, S("Never"))) {
        struct str text = arena_fmt(
            arena, "Container image \"" STR_FMT "\" is not present with pull policy of Never",
            STR_ARG(ref));
        slot_event(pod, index, "Warning", "ErrImageNeverPull", text);
        slot_fail(pod, index, "ErrImageNeverPull", text.p);
        return NULL;
    }
    if (wants_pull(image, ref, policy)) {
        if (loop_now(pod->node->config.loop) < slot->image_at) {
            back_off(pod, index, ref);
        } else {
            start_pull(pod, index, ref);
        }
        return NULL;
    }
    slot->image_backoff = 0;
    slot->image_at = 0;
    slot_event(pod, index, "Normal", "Pulled",
               arena_fmt(arena,
                         "Container image \"" STR_FMT
                         "\" already present on machine and can be accessed by the pod",
                         STR_ARG(ref)));
    return image;
}
