// SPDX-License-Identifier: Apache-2.0
//
// Manifests: any YAML or JSON of any kind as a create request, dry run. It is refused with a code
// of 4xx and a reason, or what comes back reads back the same, and creating that again gives the
// same object: defaults and admission are done when they are done.
#include "fuzz.h"

#include "api/api.h"
#include "base/limits.h"
#include "data/json.h"
#include "data/yaml.h"
#include "store/journal.h"

#include <stdio.h>

enum { CODE_CREATED = 201, CODE_REFUSED = 400, CODE_SERVER = 500 };

struct asked {
    struct arena *arena;
    int code;
    struct str message;
    struct val val;
    int times;
};

static struct loop *loop;
static struct store *store;
static struct api *api;

static void on_done(struct api_req *req, const struct api_result *result)
{
    struct asked *asked = req->ctx;
    const struct val *v = result->object != NULL ? object_val(result->object) : result->val;
    asked->times++;
    asked->code = result->status.code != 0 ? result->status.code : result->code;
    asked->val = v == NULL ? val_null() : val_copy(asked->arena, v);
    asked->message = result->status.message;
    must(asked->code < CODE_REFUSED || result->status.message.n > 0);
}

static struct asked create(struct arena *arena, const struct kind *kind, const struct val *body,
                           bool is_dry_run)
{
    struct asked asked = {.arena = arena};
    struct api_req req = {.verb = VERB_CREATE,
                          .kind = kind,
                          .ns = (kind->flags & KIND_NAMESPACED) != 0 ? S("default") : S(""),
                          .body = body,
                          .arena = arena,
                          .done = on_done,
                          .ctx = &asked};
    api_options_init(&req.opt);
    req.opt.is_dry_run = is_dry_run;
    api_do(api, &req);
    for (int i = 0; i < 100 && asked.times == 0; i++) {
        (void)loop_turn(loop);
        store_flush(store);
    }
    must(asked.times == 1);
    return asked;
}

static void put(const char *json, enum kind_id kind)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val v;
    struct err err;
    must(json_read(str_of(json), arena, NULL, &v, &err) == 0);
    must(create(arena, kind_of(kind), &v, false).code == CODE_CREATED);
}

static void open_api(void)
{
    static struct rng rng;
    struct err err;
    rng_seed(&rng, 1);
    loop = loop_new_virtual(INT64_C(1767225600) * USEC_PER_SEC);
    store = store_open(loop, journal_open_memory(), &err);
    struct api_config config = {.loop = loop,
                                .store = store,
                                .rng = &rng,
                                .service_cidr = 0x0a600000,
                                .service_prefix = 12,
                                .cluster_domain = S("cluster.local")};
    api = api_new(&config);
    put("{\"metadata\":{\"name\":\"default\"}}", KIND_NAMESPACE);
    put("{\"metadata\":{\"name\":\"default\"}}", KIND_SERVICE_ACCOUNT);
}

/* What the server draws anew for each object. */
static void drop_drawn(struct val *v)
{
    static const char *const drawn[] = {"uid", "resourceVersion", "creationTimestamp", "generation",
                                        "managedFields"};
    struct val *meta = val_slot(v, S("metadata"));
    for (size_t i = 0; meta != NULL && i < sizeof drawn / sizeof drawn[0]; i++) {
        (void)val_remove(meta, str_of(drawn[i]));
    }
}

static void must_read_back(struct arena *arena, const struct val *v)
{
    auto_buf struct buf text;
    struct val again;
    struct err err;
    buf_init(&text, JSON_BYTES_MAX);
    must(json_write(&text, v) == 0);
    must(json_read(buf_str(&text), arena, NULL, &again, &err) == 0);
    must(val_eq(v, &again));
}

static const struct kind *kind_of_manifest(const struct val *v)
{
    struct str group;
    struct str version;
    api_version_split(val_text(val_get(v, S("apiVersion"))), &group, &version);
    return kind_by_name(group, version, val_text(val_get(v, S("kind"))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val v;
    struct err err;
    if (api == NULL) {
        open_api();
    }
    if (yaml_read((struct str){(const char *)data, size}, arena, NULL, &v, &err) < 0 ||
        !val_is(&v, VAL_MAP)) {
        return 0;
    }
    const struct kind *kind = kind_of_manifest(&v);
    if (kind == NULL || (kind->flags & KIND_VIRTUAL) != 0) {
        return 0;
    }
    struct asked first = create(arena, kind, &v, true);
    if (first.code != CODE_CREATED) {
        /* resourceVersion in a create is upstream's one 500. */
        must(first.code >= CODE_REFUSED &&
             (first.code < CODE_SERVER || val_path(&v, "metadata.resourceVersion") != NULL));
        return 0;
    }
    must_read_back(arena, &first.val);
    struct val again = val_copy(arena, &first.val);
    drop_drawn(&again);
    struct asked second = create(arena, kind_of_manifest(&again), &again, true);
    if (second.code != CODE_CREATED) {
        (void)fprintf(stderr, STR_FMT "\n", STR_ARG(second.message));
    }
    must(second.code == CODE_CREATED);
    drop_drawn(&second.val);
    must(val_eq(&again, &second.val));
    return 0;
}
