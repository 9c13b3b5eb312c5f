// SPDX-License-Identifier: Apache-2.0
//
// Tokens and roles against a real API on a memory journal and the virtual clock.
#include "test.h"

#include "auth/auth.h"
#include "auth/cert.h"
#include "base/mem.h"
#include "data/json.h"
#include "store/journal.h"

struct room {
    struct loop *loop;
    struct rng rng;
    struct store *store;
    struct api *api;
    struct auth *auth;
    struct arena *arena;
    struct buf key;
    /* of the last request */
    int code;
    struct val answer;
};

static const struct str masters[] = {
    {"system:masters", 14}
};
static const struct api_user admin = {
    .name = {"admin", 5},
      .groups = masters, .groups_count = 1
};

static void on_done(struct api_req *req, const struct api_result *result)
{
    struct room *r = req->ctx;
    r->code = result->status.code != 0 ? result->status.code : result->code;
    const struct val *v = result->object != NULL ? object_val(result->object) : result->val;
    r->answer = v == NULL ? val_null() : val_copy(r->arena, v);
}

static int post(struct room *r, const struct kind *kind, const char *subresource, const char *ns,
                const char *name, const char *json, const struct api_user *user)
{
    struct err err = {0};
    struct val *body = arena_alloc(r->arena, sizeof *body);
    EXPECT_OK(json_read(str_of(json), r->arena, NULL, body, &err));
    struct api_req *req = arena_alloc(r->arena, sizeof *req);
    *req = (struct api_req){.verb = VERB_CREATE,
                            .kind = kind,
                            .subresource = str_of(subresource),
                            .ns = str_of(ns),
                            .name = str_of(name),
                            .user = user,
                            .body = body,
                            .arena = r->arena,
                            .done = on_done,
                            .ctx = r};
    api_options_init(&req->opt);
    r->code = 0;
    api_do(r->api, req);
    while (r->code == 0 && loop_turn(r->loop)) {
    }
    return r->code;
}

static void room_open(struct room *r)
{
    struct err err = {0};
    *r = (struct room){.loop = loop_new_virtual(1000000 * USEC_PER_SEC),
                       .arena = arena_new(64 << 20)};
    rng_seed(&r->rng, 1);
    buf_init(&r->key, 8192);
    EXPECT_OK(cert_make_key(&r->key, &err));
    r->store = store_open(r->loop, journal_open_memory(), &err);
    struct api_config config = {.loop = r->loop, .store = r->store, .rng = &r->rng};
    r->api = api_new(&config);
    struct auth_config auth = {.api = r->api,
                               .loop = r->loop,
                               .rng = &r->rng,
                               .token_key_pem = buf_str(&r->key),
                               .issuer = S("https://issuer")};
    r->auth = auth_new(&auth, &err);
    EXPECT(r->auth != NULL);
    auth_register(r->auth);
    EXPECT_INT(201,
               post(r, kind_of(KIND_NAMESPACE), "", "", "",
                    "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"n\"}}",
                    &admin));
    EXPECT_INT(
        201,
        post(r, kind_of(KIND_SERVICE_ACCOUNT), "", "n", "",
             "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"a\"}}",
             &admin));
}

static void room_close(struct room *r)
{
    store_flush(r->store);
    auth_free(r->auth);
    api_free(r->api);
    store_close(r->store);
    loop_free(r->loop);
    arena_free(r->arena);
    buf_done(&r->key);
}

static struct str make_token(struct room *r, const char *spec)
{
    struct str json = arena_fmt(
        r->arena,
        "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\",\"spec\":%s}",
        spec);
    EXPECT_INT(201, post(r, kind_of(KIND_SERVICE_ACCOUNT), "token", "n", "a", json.p, &admin));
    return val_text_at(&r->answer, "status.token");
}

static int user_of(struct room *r, struct str token, struct api_user *ret)
{
    struct err err = {0};
    return auth_token_user(r->auth, token, r->arena, ret, &err);
}

TEST(a_token_names_its_account_and_expires)
{
    struct room r;
    room_open(&r);
    struct api_user user;
    struct str token = make_token(&r, "{\"expirationSeconds\":600}");
    EXPECT_INT(0, user_of(&r, token, &user));
    EXPECT_STR("system:serviceaccount:n:a", user.name);
    EXPECT_STR("system:serviceaccounts:n", user.groups[1]);
    EXPECT_STR("1970-01-12T13:56:40Z", val_text_at(&r.answer, "status.expirationTimestamp"));
    loop_shift_wall(r.loop, 599 * USEC_PER_SEC);
    EXPECT_INT(0, user_of(&r, token, &user));
    loop_shift_wall(r.loop, 1 * USEC_PER_SEC);
    EXPECT_INT(ERR_UNKNOWN_USER, user_of(&r, token, &user));
    room_close(&r);
}

TEST(a_token_that_was_touched_or_is_for_others_is_refused)
{
    struct room r;
    room_open(&r);
    struct api_user user;
    struct str token = make_token(&r, "{}");
    for (size_t i = 0; i < token.n; i += 7) {
        struct str bad = arena_dup(r.arena, token);
        char *p = arena_alloc(r.arena, bad.n);
        memcpy(p, bad.p, bad.n);
        p[i] = p[i] == 'A' ? 'B' : 'A';
        EXPECT_INT(ERR_UNKNOWN_USER, user_of(&r, (struct str){p, bad.n}, &user));
    }
    EXPECT_INT(ERR_UNKNOWN_USER, user_of(&r, str_sub(token, 0, token.n - 10), &user));
    EXPECT_INT(ERR_UNKNOWN_USER, user_of(&r, S(""), &user));
    EXPECT_INT(ERR_UNKNOWN_USER, user_of(&r, S("a.b.c"), &user));
    EXPECT_INT(ERR_UNKNOWN_USER, user_of(&r, make_token(&r, "{\"audiences\":[\"vault\"]}"), &user));
    room_close(&r);
}

TEST(token_requests_are_checked)
{
    struct room r;
    room_open(&r);
    static const struct {
        const char *spec;
        const char *name;
        int code;
    } rows[] = {
        {"{\"expirationSeconds\":599}",                                                  "a",      422},
        {"{}",                                                                           "absent", 404},
        {"{\"boundObjectRef\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"name\":\"p\"}}", "a",      404},
        {"{\"boundObjectRef\":{\"kind\":\"Apple\",\"name\":\"p\"}}",                     "a",      422},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str json = arena_fmt(
            r.arena,
            "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\",\"spec\":%s}",
            rows[i].spec);
        EXPECT_INT(rows[i].code, post(&r, kind_of(KIND_SERVICE_ACCOUNT), "token", "n", rows[i].name,
                                      json.p, &admin));
    }
    room_close(&r);
}

static void bind(struct room *r)
{
    EXPECT_INT(
        201,
        post(r, kind_of(KIND_ROLE), "", "n", "",
             "{\"apiVersion\":\"rbac.authorization.k8s.io/"
             "v1\",\"kind\":\"Role\",\"metadata\":{\"name\":"
             "\"r\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\",\"*/log\"],\"verbs\":"
             "[\"get\",\"list\"]},{\"apiGroups\":[\"apps\"],\"resources\":[\"statefulsets\"],"
             "\"resourceNames\":[\"web\"],\"verbs\":[\"*\"]}]}",
             &admin));
    EXPECT_INT(201, post(r, kind_of(KIND_ROLE_BINDING), "", "n", "",
                         "{\"apiVersion\":\"rbac.authorization.k8s.io/"
                         "v1\",\"kind\":\"RoleBinding\",\"metadata\":"
                         "{\"name\":\"b\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\","
                         "\"kind\":\"Role\","
                         "\"name\":\"r\"},\"subjects\":[{\"kind\":\"ServiceAccount\",\"name\":"
                         "\"a\",\"namespace\":"
                         "\"n\"}]}",
                         &admin));
}

TEST(rbac_allows_what_a_rule_says_and_nothing_else)
{
    struct room r;
    room_open(&r);
    bind(&r);
    static const struct {
        const char *verb, *group, *resource, *subresource, *ns, *name;
        bool may;
    } rows[] = {
        {"get",    "",     "pods",         "",     "n",     "p",   true },
        {"list",   "",     "pods",         "",     "n",     "",    true },
        {"delete", "",     "pods",         "",     "n",     "p",   false},
        {"get",    "",     "pods",         "",     "other", "p",   false},
        {"get",    "",     "pods",         "",     "",      "p",   false},
        {"get",    "",     "pods",         "log",  "n",     "p",   true },
        {"get",    "",     "pods",         "exec", "n",     "p",   false},
        {"get",    "apps", "pods",         "",     "n",     "p",   false},
        {"update", "apps", "statefulsets", "",     "n",     "web", true },
        {"update", "apps", "statefulsets", "",     "n",     "db",  false},
        {"create", "apps", "statefulsets", "",     "n",     "",    false},
    };
    struct api_user user;
    EXPECT_INT(0, user_of(&r, make_token(&r, "{}"), &user));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct auth_attributes at = {.verb = str_of(rows[i].verb),
                                     .group = str_of(rows[i].group),
                                     .resource = str_of(rows[i].resource),
                                     .subresource = str_of(rows[i].subresource),
                                     .ns = str_of(rows[i].ns),
                                     .name = str_of(rows[i].name)};
        struct str reason;
        EXPECT_INT(rows[i].may, auth_may(r.auth, r.arena, &user, &at, &reason));
        EXPECT_INT(true, auth_may(r.auth, r.arena, &admin, &at, &reason));
    }
    struct auth_attributes at = {.verb = S("get"), .resource = S("nodes"), .name = S("x")};
    struct str reason;
    EXPECT(!auth_may(r.auth, r.arena, &user, &at, &reason));
    EXPECT_STR(
        "User \"system:serviceaccount:n:a\" cannot get resource \"nodes\" in API group \"\" at the "
        "cluster scope",
        reason);
    room_close(&r);
}

TEST(default_roles_let_users_in_as_far_as_upstream_does)
{
    struct room r;
    room_open(&r);
    const struct val *objects;
    size_t count;
    auth_bootstrap_objects(r.arena, &objects, &count);
    for (size_t i = 0; i < count; i++) {
        struct buf text;
        buf_init(&text, 1 << 16);
        (void)json_write(&text, &objects[i]);
        bool is_role = str_eq(val_text_at(&objects[i], "kind"), S("ClusterRole"));
        EXPECT_INT(201, post(&r, kind_of(is_role ? KIND_CLUSTER_ROLE : KIND_CLUSTER_ROLE_BINDING),
                             "", "", "", arena_dup(r.arena, buf_str(&text)).p, &admin));
        buf_done(&text);
    }
    struct str reason;
    struct api_user nobody = auth_anonymous();
    struct api_user user = auth_cert_user(r.arena, S("jane"), NULL, 0);
    struct auth_attributes version = {.verb = S("get"), .path = S("/version")};
    struct auth_attributes apis = {.verb = S("get"), .path = S("/apis/apps/v1")};
    EXPECT(auth_may(r.auth, r.arena, &nobody, &version, &reason));
    EXPECT(!auth_may(r.auth, r.arena, &nobody, &apis, &reason));
    EXPECT(auth_may(r.auth, r.arena, &user, &apis, &reason));
    EXPECT_INT(201,
               post(&r,
                    kind_by_name(S("authorization.k8s.io"), S("v1"), S("SelfSubjectAccessReview")),
                    "", "", "",
                    "{\"apiVersion\":\"authorization.k8s.io/"
                    "v1\",\"kind\":\"SelfSubjectAccessReview\",\"spec\":"
                    "{\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"secrets\","
                    "\"namespace\":\"n\"}}}",
                    &user));
    EXPECT(!val_true_at(&r.answer, "status.allowed"));
    room_close(&r);
}

TEST(certificates_are_signed_and_dated)
{
    struct buf ca;
    struct buf ca_key;
    struct buf cert;
    struct buf key;
    struct err err = {0};
    usec from;
    usec until;
    buf_init(&ca, 8192);
    buf_init(&ca_key, 8192);
    buf_init(&cert, 8192);
    buf_init(&key, 8192);
    usec day = 86400 * USEC_PER_SEC;
    EXPECT_OK(cert_make_ca(S("ca"), 0, 10 * day, &ca, &ca_key, &err));
    struct cert_request request = {
        .common_name = S("jane"), .valid_from_wall = day, .valid_for = 2 * day};
    EXPECT_OK(cert_make(buf_str(&ca), buf_str(&ca_key), &request, &cert, &key, &err));
    EXPECT_OK(cert_check(buf_str(&cert), buf_str(&key), &from, &until, &err));
    EXPECT_INT(day, from);
    EXPECT_INT(3 * day, until);
    EXPECT_INT(ERR_INVALID, cert_check(buf_str(&cert), buf_str(&ca_key), &from, &until, &err));
    EXPECT(cert_make(S("no"), buf_str(&ca_key), &request, &cert, &key, &err) < 0);
    buf_done(&ca);
    buf_done(&ca_key);
    buf_done(&cert);
    buf_done(&key);
}
