// SPDX-License-Identifier: Apache-2.0
//
//   GET ──200──▶ done            credentials in turn: those that fit, most specific first; then
//    ▲  └─401/403─▶ authorise     registries.yaml's account; then nobody (Bearer only)
//    └──────────────────┘
#include "registry/origin.h"

#include "base/enc.h"
#include "base/mem.h"
#include "data/json.h"
#include "registry/challenge.h"
#include "registry/manifest.h"

#include <stdio.h>

enum { TOKEN_BYTES_MAX = 64 << 10, URL_MAX = 8 << 10, WORDS_MAX = 300 };

struct origin {
    struct origin_config config;
    struct str url;
    struct str authorization;
    struct challenge challenge; /* the last one */
    struct credential credentials[CREDENTIALS_MAX + 1];
    size_t credentials_count;
    size_t credential_at; /* credentials_count = nobody */
};

struct origin *origin_new(const struct origin_config *config)
{
    struct origin *o = arena_alloc(config->arena, sizeof *o);
    o->config = *config;
    o->url = config->endpoint->url;
    o->credentials_count = credentials_find(config->documents, config->endpoint->host,
                                            config->repository, config->arena, o->credentials);
    if (config->endpoint->has_account) {
        o->credentials[o->credentials_count] = config->endpoint->account;
        o->credentials[o->credentials_count++].document = -1;
    }
    return o;
}

/* ---- refusals -------------------------------------------------------------------------------- */

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        {400, "400 Bad Request"          },
        {401, "401 Unauthorized"         },
        {403, "403 Forbidden"            },
        {404, "404 Not Found"            },
        {406, "406 Not Acceptable"       },
        {429, "429 Too Many Requests"    },
        {500, "500 Internal Server Error"},
        {502, "502 Bad Gateway"          },
        {503, "503 Service Unavailable"  },
        {504, "504 Gateway Timeout"      },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].status == status) {
            return rows[i].text;
        }
    }
    return NULL;
}

int origin_refusal(const struct transfer_head *head, struct str body, struct err *err)
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct val v = val_null();
    struct err ignored;
    char number[16];
    const char *text = status_text(head->status);
    int code = head->status == 404                          ? ERR_NOT_FOUND
               : head->status == 401 || head->status == 403 ? ERR_DENIED
               : head->status == 429 || head->status >= 500 ? ERR_AGAIN
                                                            : ERR_INVALID;
    if (text == NULL) {
        (void)snprintf(number, sizeof number, "status %d", head->status);
        text = number;
    }
    if (body.n == 0 || json_read(body, arena, NULL, &v, &ignored) < 0) {
        return err_set(err, code, "%s", text);
    }
    struct str word = val_text_at(&v, "errors.0.code");
    struct str message = val_text_at(&v, "errors.0.message");
    message = message.n > 0 ? message : val_text_at(&v, "details");
    return err_set(err, code, "%s%s" STR_FMT "%s" STR_FMT, text, word.n > 0 ? ": " : "",
                   STR_ARG(str_sub(word, 0, WORDS_MAX)), message.n > 0 ? ": " : "",
                   STR_ARG(str_sub(message, 0, WORDS_MAX)));
}

/* ---- authorization --------------------------------------------------------------------------- */

static struct str basic(struct origin *o, const struct credential *c)
{
    auto_buf struct buf text;
    buf_init(&text, (size_t)TOKEN_BYTES_MAX * 2);
    auto_free char *pair =
        xasprintf(STR_FMT ":" STR_FMT, STR_ARG(c->username), STR_ARG(c->password));
    (void)buf_add(&text, S("Basic "));
    (void)base64_encode(&text, str_of(pair));
    return arena_dup(o->config.arena, buf_str(&text));
}

static void add_parameter(struct buf *out, const char *name, struct str value)
{
    if (value.n > 0) {
        (void)buf_addf(out, "%s%s=", out->n > 0 ? "&" : "", name);
        (void)percent_encode(out, value);
    }
}

/* What the token server is asked: in the query, or as a form when a token is exchanged. */
static void write_parameters(struct origin *o, const struct challenge *c, struct buf *out)
{
    struct str scope =
        arena_fmt(o->config.arena, "repository:" STR_FMT ":pull", STR_ARG(o->config.repository));
    add_parameter(out, "service", c->service);
    add_parameter(out, "scope", c->scope.n > 0 ? c->scope : scope);
}

/* who NULL = nobody. Answers of 4xx are ERR_DENIED: the next credential may do. */
static int fetch_token(struct origin *o, const struct credential *who, struct err *err)
{
    struct arena *arena = o->config.arena;
    const struct challenge *c = &o->challenge;
    const struct transfer_head *head;
    struct str body;
    struct str token;
    auto_buf struct buf parameters;
    buf_init(&parameters, URL_MAX + TOKEN_BYTES_MAX);
    if (!answer_is_token_server(o->url, c->realm)) {
        return err_set(err, ERR_INVALID,
                       "the registry names '" STR_FMT "' as its token server, expected https://…",
                       STR_ARG(str_sub(c->realm, 0, WORDS_MAX)));
    }
    struct transfer_request request = {.url = c->realm,
                                       .is_direct = o->config.endpoint->is_local,
                                       .ca_file = o->config.endpoint->ca_file,
                                       .is_unverified = o->config.endpoint->is_unverified};
    write_parameters(o, c, &parameters);
    if (who != NULL && who->identity_token.n > 0) {
        add_parameter(&parameters, "grant_type", S("refresh_token"));
        add_parameter(&parameters, "client_id", S("coracle"));
        add_parameter(&parameters, "refresh_token", who->identity_token);
        request.form = buf_str(&parameters);
    } else {
        request.authorization = who == NULL ? (struct str){0} : basic(o, who);
        request.url =
            arena_fmt(arena, STR_FMT "%c" STR_FMT, STR_ARG(c->realm),
                      str_find(c->realm, '?') < 0 ? '?' : '&', STR_ARG(buf_str(&parameters)));
    }
    if (transfer_get(o->config.transfers, &request, TOKEN_BYTES_MAX, arena, &head, &body, err) <
        0) {
        return err_wrap(err, "token server " STR_FMT, STR_ARG(c->realm));
    }
    if (head->status != 200) {
        (void)origin_refusal(head, body, err);
        (void)err_wrap(err, "token server " STR_FMT, STR_ARG(c->realm));
        err->code = head->status >= 400 && head->status < 429 ? ERR_DENIED : err->code;
        return err->code;
    }
    if (answer_token(body, arena, &token, err) < 0) {
        return err_wrap(err, "token server " STR_FMT " answered with '%s'", STR_ARG(c->realm),
                        head->content_type);
    }
    o->authorization = arena_fmt(arena, "Bearer " STR_FMT, STR_ARG(token));
    return 0;
}

/* With the present credential, or the next one that gets something. */
static int authorise(struct origin *o, struct err *err)
{
    int r = err_set(err, ERR_DENIED, "no credentials for this registry fit");
    for (; o->credential_at <= o->credentials_count; o->credential_at++) {
        bool is_nobody = o->credential_at == o->credentials_count;
        const struct credential *who = is_nobody ? NULL : &o->credentials[o->credential_at];
        if (o->challenge.scheme == CHALLENGE_BEARER) {
            r = fetch_token(o, who, err);
            if (r != ERR_DENIED) {
                return r;
            }
        } else if (o->challenge.scheme == CHALLENGE_BASIC && who != NULL && who->username.n > 0) {
            o->authorization = basic(o, who);
            return 0;
        }
    }
    o->credential_at = 0;
    return r;
}

int origin_authorise(struct origin *o, const struct transfer_head *head, struct err *err)
{
    struct challenge c;
    challenge_parse(o->config.arena, buf_str(&head->challenges), &c);
    if (c.scheme != CHALLENGE_NONE) {
        o->challenge = c;
    }
    return authorise(o, err);
}

const struct credential *origin_credential(const struct origin *o)
{
    bool is_nobody = o->authorization.n == 0 || o->credential_at >= o->credentials_count;
    return is_nobody ? NULL : &o->credentials[o->credential_at];
}

/* ---- asking ---------------------------------------------------------------------------------- */

static struct str make_url(struct origin *o, const char *kind, struct str name)
{
    bool is_mirror = o->config.endpoint->is_mirror;
    return arena_fmt(o->config.arena, STR_FMT "/v2/" STR_FMT "/%s/" STR_FMT "%s" STR_FMT,
                     STR_ARG(o->url), STR_ARG(o->config.repository), kind, STR_ARG(name),
                     is_mirror ? "?ns=" : "",
                     STR_ARG(is_mirror ? o->config.domain : (struct str){0}));
}

static void make_request(struct origin *o, struct str url, struct transfer_request *ret)
{
    *ret = (struct transfer_request){.url = url,
                                     .authorization = o->authorization,
                                     .ca_file = o->config.endpoint->ca_file,
                                     .is_unverified = o->config.endpoint->is_unverified,
                                     .is_direct = o->config.endpoint->is_local};
}

void origin_blob_request(struct origin *o, struct str digest, uint64_t offset,
                         struct transfer_request *ret)
{
    make_request(o, make_url(o, "blobs", digest), ret);
    ret->offset = offset;
}

/* What is asked for, GET or HEAD. */
struct question {
    const char *kind;
    struct str name;
    size_t bytes_max;
    bool is_head;
};

/* One request; over plain HTTP from here on where a registry of this machine speaks no TLS. */
static int ask(struct origin *o, const struct question *q, const struct transfer_head **ret_head,
               struct str *ret_body, struct err *err)
{
    for (;;) {
        struct transfer_request request;
        make_request(o, make_url(o, q->kind, q->name), &request);
        request.accept = strcmp(q->kind, "manifests") == 0 ? str_of(manifest_accept) : S("*/*");
        request.is_head = q->is_head;
        int r = transfer_get(o->config.transfers, &request, q->bytes_max, o->config.arena, ret_head,
                             ret_body, err);
        if (r != ERR_AGAIN || !o->config.endpoint->may_be_plain ||
            !str_starts(o->url, S("https://"))) {
            return r < 0 ? err_wrap(err, STR_FMT, STR_ARG(o->url)) : 0;
        }
        o->url = arena_fmt(o->config.arena, "http://" STR_FMT, STR_ARG(o->config.endpoint->host));
    }
}

static int insist(struct origin *o, const struct question *q, const struct transfer_head **ret_head,
                  struct str *ret_body, struct err *err)
{
    bool is_fresh = false;
    for (;;) {
        if (ask(o, q, ret_head, ret_body, err) < 0) {
            return err->code;
        }
        int status = (*ret_head)->status;
        if (status == 200) {
            return 0;
        }
        if (status != 401 && !(status == 403 && is_fresh)) {
            break;
        }
        /* What was just made did not do: the next credential. */
        o->credential_at += is_fresh;
        is_fresh = true;
        struct err why;
        if (origin_authorise(o, *ret_head, &why) == 0) {
            continue;
        }
        if (why.code == ERR_DENIED && o->challenge.scheme != CHALLENGE_BEARER) {
            break; /* the registry's own words are better */
        }
        *err = why;
        return err_wrap(err, STR_FMT, STR_ARG(o->url));
    }
    (void)origin_refusal(*ret_head, *ret_body, err);
    return err_wrap(err, STR_FMT, STR_ARG(o->url));
}

int origin_get(struct origin *o, const char *kind, struct str name, size_t bytes_max,
               const struct transfer_head **ret_head, struct str *ret_body, struct err *err)
{
    const struct question q = {.kind = kind, .name = name, .bytes_max = bytes_max};
    return insist(o, &q, ret_head, ret_body, err);
}

int origin_head(struct origin *o, struct str name, const struct transfer_head **ret_head,
                struct err *err)
{
    const struct question q = {.kind = "manifests", .name = name, .is_head = true};
    struct str body;
    return insist(o, &q, ret_head, &body, err);
}
