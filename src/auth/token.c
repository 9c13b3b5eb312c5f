// SPDX-License-Identifier: Apache-2.0
//
// Service account tokens (spec/api.md 10.3): bound to an audience, a time and, for pods, to the
// pod; valid as long as the account and the bound object exist with the same uid.
#include "auth/internal.h"

#include "base/mem.h"
#include "base/timefmt.h"

enum { SECONDS_DEFAULT = 3600, SECONDS_MIN = 600 };

static const int64_t seconds_max = INT64_C(1) << 32;

static void set_ref(struct arena *arena, struct val *map, struct str key, struct str name,
                    struct str uid)
{
    struct val ref = val_map();
    (void)val_set(arena, &ref, S("name"), val_str(name));
    (void)val_set(arena, &ref, S("uid"), val_str(uid));
    (void)val_set(arena, map, key, ref);
}

/* kind of a bound object, claim key */
static const struct {
    const char *kind;
    const char *claim;
    enum kind_id id;
} bindings[] = {
    {"Pod",    "pod",    KIND_POD   },
    {"Secret", "secret", KIND_SECRET},
    {"Node",   "node",   KIND_NODE  }
};

/* Adds the bound object to the claims; its uid must be the one asked for. */
static bool bind_claims(struct auth *auth, struct api_req *req, struct val *claims,
                        struct causes *causes)
{
    const struct val *ref = val_path(req->body, "spec.boundObjectRef");
    if (ref == NULL) {
        return true;
    }
    struct str name = val_text_at(ref, "name");
    struct str uid = val_text_at(ref, "uid");
    for (size_t i = 0; i < ARRAY_LEN(bindings); i++) {
        if (!str_eq(val_text_at(ref, "kind"), str_of(bindings[i].kind))) {
            continue;
        }
        struct str ns = bindings[i].id == KIND_NODE ? S("") : req->ns;
        const struct val *obj = api_peek(auth->config.api, kind_of(bindings[i].id), ns, name);
        struct str live = val_text_at(obj, "metadata.uid");
        if (obj == NULL || (uid.n > 0 && !str_eq(uid, live))) {
            answer_failure(req, obj == NULL
                                    ? status_not_found(req->arena, kind_of(bindings[i].id), name)
                                    : status_conflict(req->arena, kind_of(bindings[i].id), name,
                                                      S("the UID in the bound object reference "
                                                        "does not match the UID in record")));
            return false;
        }
        set_ref(req->arena, claims, str_of(bindings[i].claim), name, live);
        struct str node = val_text_at(obj, "spec.nodeName");
        const struct val *n = api_peek(auth->config.api, kind_of(KIND_NODE), S(""), node);
        if (bindings[i].id == KIND_POD && n != NULL) {
            set_ref(req->arena, claims, S("node"), node, val_text_at(n, "metadata.uid"));
        }
        return true;
    }
    cause_add(causes, CAUSE_NOT_SUPPORTED, S("spec.boundObjectRef.kind"), val_get(ref, S("kind")),
              S("supported values: \"Pod\", \"Secret\", \"Node\""));
    answer_failure(req, status_invalid(req->arena, req->kind, req->name, causes));
    return false;
}

static struct val audiences_of(struct auth *auth, struct api_req *req)
{
    const struct val *asked = val_path(req->body, "spec.audiences");
    if (val_count(asked) > 0) {
        return val_copy(req->arena, asked);
    }
    struct val list = val_list();
    (void)val_push(req->arena, &list, val_str(str_of(auth->issuer)));
    return list;
}

static struct val make_claims(struct auth *auth, struct api_req *req, struct val audiences,
                              int64_t now, int64_t seconds, struct val kubernetes)
{
    struct arena *a = req->arena;
    char jti[UUID_LEN + 1];
    rng_uuid(auth->config.rng, jti);
    struct val claims = val_map();
    (void)val_set(a, &claims, S("aud"), audiences);
    (void)val_set(a, &claims, S("exp"), val_int(now + seconds));
    (void)val_set(a, &claims, S("iat"), val_int(now));
    (void)val_set(a, &claims, S("nbf"), val_int(now));
    (void)val_set(a, &claims, S("iss"), val_str(str_of(auth->issuer)));
    (void)val_set(a, &claims, S("jti"), val_str(arena_dup(a, str_of(jti))));
    (void)val_set(a, &claims, S("kubernetes.io"), kubernetes);
    (void)val_set(a, &claims, S("sub"),
                  val_str(arena_fmt(a, "system:serviceaccount:" STR_FMT ":" STR_FMT,
                                    STR_ARG(req->ns), STR_ARG(req->name))));
    return claims;
}

void token_request_handle(void *ctx, struct api *api, struct api_req *req)
{
    struct auth *auth = ctx;
    struct arena *a = req->arena;
    struct causes causes;
    causes_init(&causes, a);
    const struct val *account = api_peek(api, kind_of(KIND_SERVICE_ACCOUNT), req->ns, req->name);
    if (account == NULL) {
        answer_failure(req, status_not_found(a, kind_of(KIND_SERVICE_ACCOUNT), req->name));
        return;
    }
    const struct val *asked = val_path(req->body, "spec.expirationSeconds");
    int64_t seconds = val_number(asked, SECONDS_DEFAULT);
    if (seconds < SECONDS_MIN || seconds > seconds_max) {
        cause_add(&causes, CAUSE_INVALID, S("spec.expirationSeconds"), asked,
                  seconds < SECONDS_MIN ? S("may not specify a duration less than 10 minutes")
                                        : S("may not specify a duration larger than 2^32 seconds"));
        answer_failure(req, status_invalid(a, req->kind, req->name, &causes));
        return;
    }
    struct val kubernetes = val_map();
    (void)val_set(a, &kubernetes, S("namespace"), val_str(req->ns));
    set_ref(a, &kubernetes, S("serviceaccount"), req->name, val_text_at(account, "metadata.uid"));
    if (!bind_claims(auth, req, &kubernetes, &causes)) {
        return;
    }
    int64_t now = loop_wall(auth->config.loop) / USEC_PER_SEC;
    struct val audiences = audiences_of(auth, req);
    struct val claims = make_claims(auth, req, audiences, now, seconds, kubernetes);
    struct str token;
    struct err err;
    if (jwt_sign(auth->key, &claims, a, &token, &err) < 0) {
        answer_failure(req, status_of_err(a, &err));
        return;
    }
    char expires[TIME_TEXT_MAX];
    time_format((now + seconds) * USEC_PER_SEC, expires);
    struct val v = req->body == NULL ? val_map() : val_copy(a, req->body);
    (void)val_set(a, &v, S("apiVersion"), val_str(S("authentication.k8s.io/v1")));
    (void)val_set(a, &v, S("kind"), val_str(S("TokenRequest")));
    struct val *metadata = val_need_map(a, &v, S("metadata"));
    (void)val_set(a, metadata, S("name"), val_str(req->name));
    (void)val_set(a, metadata, S("namespace"), val_str(req->ns));
    (void)val_set_path(a, &v, "spec.audiences", audiences);
    (void)val_set_path(a, &v, "spec.expirationSeconds", val_int(seconds));
    (void)val_set_path(a, &v, "status.token", val_str(token));
    (void)val_set_path(a, &v, "status.expirationTimestamp", val_str(arena_dup(a, str_of(expires))));
    answer_val(req, &v);
}

static bool has_audience(const struct val *claims, struct str audience)
{
    const struct val *list = val_get(claims, S("aud"));
    for (size_t i = 0; i < val_count(list); i++) {
        if (str_eq(val_text(val_at(list, i)), audience)) {
            return true;
        }
    }
    return false;
}

/* The object of a claim ({name, uid}) must still be the same one; no claim is fine. */
static bool is_alive(struct auth *auth, enum kind_id kind, struct str ns, const struct val *ref)
{
    if (ref == NULL) {
        return true;
    }
    const struct val *obj = api_peek(auth->config.api, kind_of(kind), ns, val_text_at(ref, "name"));
    return obj != NULL && str_eq(val_text_at(obj, "metadata.uid"), val_text_at(ref, "uid"));
}

static void add_extra(struct arena *arena, struct val *extra, const char *key, struct str value)
{
    struct val list = val_list();
    if (value.n > 0) {
        (void)val_push(arena, &list, val_str(value));
        (void)val_set(arena, extra, arena_fmt(arena, "authentication.kubernetes.io/%s", key), list);
    }
}

static struct api_user user_of_claims(struct arena *a, const struct val *claims, struct str ns)
{
    struct str *groups = arena_alloc(a, 3 * sizeof *groups);
    groups[0] = S("system:serviceaccounts");
    groups[1] = arena_fmt(a, "system:serviceaccounts:" STR_FMT, STR_ARG(ns));
    groups[2] = S("system:authenticated");
    const struct val *k = val_get(claims, S("kubernetes.io"));
    struct val *extra = arena_alloc(a, sizeof *extra);
    *extra = val_map();
    add_extra(a, extra, "credential-id",
              arena_fmt(a, "JTI=" STR_FMT, STR_ARG(val_text_at(claims, "jti"))));
    add_extra(a, extra, "pod-name", val_text_at(k, "pod.name"));
    add_extra(a, extra, "pod-uid", val_text_at(k, "pod.uid"));
    add_extra(a, extra, "node-name", val_text_at(k, "node.name"));
    add_extra(a, extra, "node-uid", val_text_at(k, "node.uid"));
    return (struct api_user){.name = val_text_at(claims, "sub"),
                             .uid = val_text_at(k, "serviceaccount.uid"),
                             .groups = groups,
                             .groups_count = 3,
                             .extra = extra};
}

int token_user(struct auth *auth, struct str token, struct str audience, struct arena *arena,
               struct api_user *ret, struct err *err)
{
    struct val *claims = arena_alloc(arena, sizeof *claims);
    if (jwt_verify(auth->key, token, arena, claims, err) < 0) {
        return err->code;
    }
    int64_t now = loop_wall(auth->config.loop) / USEC_PER_SEC;
    const struct val *k = val_get(claims, S("kubernetes.io"));
    struct str ns = val_text_at(k, "namespace");
    const struct val *account = val_get(k, S("serviceaccount"));
    if (now >= val_number_at(claims, "exp", 0) ||
        now < val_number_at(claims, "nbf", INT64_MAX) - 60) {
        return err_set(err, ERR_UNKNOWN_USER, "service account token has expired");
    }
    if (!has_audience(claims, audience.n > 0 ? audience : str_of(auth->issuer))) {
        return err_set(err, ERR_UNKNOWN_USER, "token audiences do not match");
    }
    if (account == NULL || !is_alive(auth, KIND_SERVICE_ACCOUNT, ns, account) ||
        !is_alive(auth, KIND_POD, ns, val_get(k, S("pod"))) ||
        !is_alive(auth, KIND_SECRET, ns, val_get(k, S("secret")))) {
        return err_set(err, ERR_UNKNOWN_USER, "service account token has been invalidated");
    }
    *ret = user_of_claims(arena, claims, ns);
    return 0;
}
