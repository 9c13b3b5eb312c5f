// SPDX-License-Identifier: Apache-2.0
//
// Status errors and field causes in upstream's words (spec/api.md 4).
#include "api/status.h"

#include "base/limits.h"
#include "data/json.h"

#include <limits.h>

static const struct {
    const char *reason;
    const char *text;
    bool shows_value;
} cause_rows[] = {
  /* reason                     text                 shows_value */
    [CAUSE_REQUIRED] = {"FieldValueRequired",     "Required value",    false},
    [CAUSE_INVALID] = {"FieldValueInvalid",      "Invalid value",     true },
    [CAUSE_NOT_SUPPORTED] = {"FieldValueNotSupported", "Unsupported value", true },
    [CAUSE_DUPLICATE] = {"FieldValueDuplicate",    "Duplicate value",   true },
    [CAUSE_FORBIDDEN] = {"FieldValueForbidden",    "Forbidden",         false},
    [CAUSE_TOO_LONG] = {"FieldValueTooLong",      "Too long",          false},
    [CAUSE_TOO_MANY] = {"FieldValueTooMany",      "Too many",          true },
    [CAUSE_NOT_FOUND] = {"FieldValueNotFound",     "Not found",         true },
    [CAUSE_TYPE_INVALID] = {"FieldValueTypeInvalid",  "Invalid value",     true },
    [CAUSE_INTERNAL] = {"InternalError",          "Internal error",    false},
};

void causes_init(struct causes *causes, struct arena *arena)
{
    *causes = (struct causes){.arena = arena};
}

static void cause_push(struct causes *causes, struct cause cause)
{
    causes->list = arena_more(causes->arena, causes->list, causes->count, &causes->cap,
                              sizeof causes->list[0]);
    causes->list[causes->count++] = cause;
}

/* Go's %q for strings as JSON would quote them, without the HTML escapes that JSON adds. */
static struct str value_text(struct arena *arena, const struct val *value)
{
    if (value == NULL) {
        return S("null");
    }
    auto_buf struct buf buf;
    buf_init(&buf, BODY_BYTES_MAX);
    if (val_is(value, VAL_STR)) {
        struct str s = val_text(value);
        (void)buf_addc(&buf, '"');
        for (size_t i = 0; i < s.n; i++) {
            unsigned char c = (unsigned char)s.p[i];
            if (c == '"' || c == '\\') {
                (void)buf_addf(&buf, "\\%c", c);
            } else if (c == '\n') {
                (void)buf_add(&buf, S("\\n"));
            } else if (c == '\t') {
                (void)buf_add(&buf, S("\\t"));
            } else if (c < 0x20 || c == 0x7f) {
                (void)buf_addf(&buf, "\\x%02x", c);
            } else {
                (void)buf_addc(&buf, (char)c);
            }
        }
        (void)buf_addc(&buf, '"');
    } else {
        (void)json_write(&buf, value);
    }
    return arena_dup(arena, buf_str(&buf));
}

/* The start of a long text, up to a whole character. */
static struct str shorten(struct arena *arena, struct str text)
{
    size_t n = VALUE_SHOWN_MAX;
    if (text.n <= n) {
        return text;
    }
    while (n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80) {
        n--;
    }
    return arena_fmt(arena, STR_FMT "...", STR_ARG(str_sub(text, 0, n)));
}

void cause_add(struct causes *causes, enum cause_type type, struct str path,
               const struct val *value, struct str detail)
{
    struct arena *arena = causes->arena;
    struct str text = str_of(cause_rows[type].text);
    if (causes->count == CAUSES_MAX || causes->bytes > CAUSES_BYTES_MAX) {
        return;
    }
    if (cause_rows[type].shows_value) {
        struct str shown = shorten(arena, value_text(arena, value));
        text = arena_fmt(arena, STR_FMT ": " STR_FMT, STR_ARG(text), STR_ARG(shown));
    }
    if (detail.n != 0) {
        text = arena_fmt(arena, STR_FMT ": " STR_FMT, STR_ARG(text), STR_ARG(detail));
    }
    causes->bytes += text.n + path.n;
    cause_push(causes, (struct cause){.reason = str_of(cause_rows[type].reason),
                                      .message = text.n == 0 ? text : arena_dup(arena, text),
                                      .field = path.n == 0 ? path : arena_dup(arena, path)});
}

void cause_add_unsupported(struct causes *causes, struct str path, const struct val *value,
                           const struct str *supported, size_t count)
{
    auto_buf struct buf buf;
    buf_init(&buf, BODY_BYTES_MAX);
    (void)buf_add(&buf, S("supported values: "));
    for (size_t i = 0; i < count; i++) {
        (void)buf_addf(&buf, "%s\"" STR_FMT "\"", i == 0 ? "" : ", ", STR_ARG(supported[i]));
    }
    cause_add(causes, CAUSE_NOT_SUPPORTED, path, value, buf_str(&buf));
}

static struct status named(const struct kind *kind, struct str name, int code, struct str reason)
{
    struct status status = {.code = code, .reason = reason, .name = name};
    if (kind != NULL) {
        status.group = kind->group;
        status.kind = kind->plural;
    }
    return status;
}

static struct str qualified(const struct kind *kind)
{
    return kind == NULL ? S("resource") : kind_qualified(kind);
}

struct status status_not_found(struct arena *arena, const struct kind *kind, struct str name)
{
    struct status status = named(kind, name, 404, S("NotFound"));
    status.message = arena_fmt(arena, STR_FMT " \"" STR_FMT "\" not found",
                               STR_ARG(qualified(kind)), STR_ARG(name));
    return status;
}

struct status status_exists(struct arena *arena, const struct kind *kind, struct str name)
{
    struct status status = named(kind, name, 409, S("AlreadyExists"));
    status.message = arena_fmt(arena, STR_FMT " \"" STR_FMT "\" already exists",
                               STR_ARG(qualified(kind)), STR_ARG(name));
    return status;
}

struct status status_conflict(struct arena *arena, const struct kind *kind, struct str name,
                              struct str why)
{
    struct status status = named(kind, name, 409, S("Conflict"));
    status.message =
        arena_fmt(arena, "Operation cannot be fulfilled on " STR_FMT " \"" STR_FMT "\": " STR_FMT,
                  STR_ARG(qualified(kind)), STR_ARG(name), STR_ARG(why));
    return status;
}

struct status status_invalid(struct arena *arena, const struct kind *kind, struct str name,
                             const struct causes *causes)
{
    struct status status = {.code = 422,
                            .reason = S("Invalid"),
                            .name = name,
                            .group = kind->group,
                            .kind = kind->name,
                            .causes = causes->list,
                            .causes_count = causes->count};
    auto_buf struct buf buf;
    buf_init(&buf, BODY_BYTES_MAX);
    (void)buf_addf(&buf, STR_FMT "%s" STR_FMT " \"" STR_FMT "\" is invalid: ", STR_ARG(kind->name),
                   kind->group.n == 0 ? "" : ".", STR_ARG(kind->group), STR_ARG(name));
    (void)buf_add(&buf, causes->count > 1 ? S("[") : S(""));
    for (size_t i = 0; i < causes->count; i++) {
        const struct cause *cause = &causes->list[i];
        (void)buf_addf(&buf, "%s" STR_FMT "%s", i == 0 ? "" : ", ", STR_ARG(cause->field),
                       cause->field.n == 0 ? "" : ": ");
        (void)buf_add(&buf, cause->message);
    }
    (void)buf_add(&buf, causes->count > 1 ? S("]") : S(""));
    status.message = arena_dup(arena, buf_str(&buf));
    return status;
}

struct status status_forbidden(struct arena *arena, const struct kind *kind, struct str name,
                               struct str why)
{
    struct status status = named(kind, name, 403, S("Forbidden"));
    if (kind == NULL) {
        status.message = arena_fmt(arena, "forbidden: " STR_FMT, STR_ARG(why));
    } else if (name.n == 0) {
        status.message = arena_fmt(arena, STR_FMT " is forbidden: " STR_FMT,
                                   STR_ARG(qualified(kind)), STR_ARG(why));
    } else {
        status.message = arena_fmt(arena, STR_FMT " \"" STR_FMT "\" is forbidden: " STR_FMT,
                                   STR_ARG(qualified(kind)), STR_ARG(name), STR_ARG(why));
    }
    return status;
}

struct status status_too_large(struct arena *arena)
{
    return (struct status){
        .code = 413,
        .reason = S("RequestEntityTooLarge"),
        .message =
            arena_fmt(arena, "Request entity too large: limit is %d values", DOC_VALUES_MAX)};
}

struct status status_bad_request(struct arena *arena, struct str message)
{
    return (struct status){
        .code = 400, .reason = S("BadRequest"), .message = arena_dup(arena, message)};
}

struct status status_no_route(void)
{
    return (struct status){.code = 404,
                           .reason = S("NotFound"),
                           .message = S("the server could not find the requested resource")};
}

struct status status_method_not_allowed(void)
{
    return (struct status){
        .code = 405,
        .reason = S("MethodNotAllowed"),
        .message = S("the server does not allow this method on the requested resource")};
}

struct status status_expired(struct arena *arena, struct str message)
{
    return (struct status){
        .code = 410, .reason = S("Expired"), .message = arena_dup(arena, message)};
}

/* Both directions: status_of_err takes the first row of a code, status_to_err the first row of an
 * HTTP code. */
static const struct {
    int err;
    int http;
    const char *reason;
} err_rows[] = {
    {ERR_NOT_FOUND,    404, "NotFound"             },
    {ERR_CONFLICT,     409, "Conflict"             },
    {ERR_EXISTS,       409, "AlreadyExists"        },
    {ERR_INVALID,      422, "Invalid"              },
    {ERR_SYNTAX,       400, "BadRequest"           },
    {ERR_DENIED,       403, "Forbidden"            },
    {ERR_UNKNOWN_USER, 401, "Unauthorized"         },
    {ERR_LIMIT,        413, "RequestEntityTooLarge"},
    {ERR_TIMEOUT,      504, "Timeout"              },
    {ERR_GONE,         410, "Expired"              },
    {ERR_AGAIN,        429, "TooManyRequests"      },
    {ERR_UNSUPPORTED,  405, "MethodNotAllowed"     },
    {ERR_UNSUPPORTED,  415, "UnsupportedMediaType" },
    {ERR_INTERNAL,     500, "InternalError"        },
};

struct status status_of_err(struct arena *arena, const struct err *err)
{
    for (size_t i = 0; i < sizeof(err_rows) / sizeof(err_rows[0]); i++) {
        if (err_rows[i].err == err->code && err->code != ERR_INTERNAL) {
            return (struct status){.code = err_rows[i].http,
                                   .reason = str_of(err_rows[i].reason),
                                   .message = arena_dup(arena, str_of(err->msg)),
                                   .retry_after_seconds = err->code == ERR_AGAIN ? 1 : 0};
        }
    }
    struct cause *cause = arena_alloc(arena, sizeof(*cause));
    cause->message = arena_dup(arena, str_of(err->msg));
    return (struct status){.code = 500,
                           .reason = S("InternalError"),
                           .message = arena_fmt(arena, "Internal error occurred: %s", err->msg),
                           .causes = cause,
                           .causes_count = 1};
}

static void put_text(struct arena *arena, struct val *map, struct str key, struct str text)
{
    if (text.n != 0) {
        (void)val_set(arena, map, key, val_str(text));
    }
}

static struct val causes_val(struct arena *arena, const struct status *status)
{
    struct val list = val_list();
    for (size_t i = 0; i < status->causes_count; i++) {
        struct val cause = val_map();
        put_text(arena, &cause, S("reason"), status->causes[i].reason);
        put_text(arena, &cause, S("message"), status->causes[i].message);
        put_text(arena, &cause, S("field"), status->causes[i].field);
        (void)val_push(arena, &list, cause);
    }
    return list;
}

struct val status_val(struct arena *arena, const struct status *status)
{
    struct val v = val_map();
    (void)val_set(arena, &v, S("kind"), val_str(S("Status")));
    (void)val_set(arena, &v, S("apiVersion"), val_str(S("v1")));
    (void)val_set(arena, &v, S("metadata"), val_map());
    (void)val_set(arena, &v, S("status"), val_str(S("Failure")));
    put_text(arena, &v, S("message"), status->message);
    put_text(arena, &v, S("reason"), status->reason);
    struct val details = val_map();
    put_text(arena, &details, S("name"), status->name);
    put_text(arena, &details, S("group"), status->group);
    put_text(arena, &details, S("kind"), status->kind);
    put_text(arena, &details, S("uid"), status->uid);
    if (status->causes_count != 0) {
        (void)val_set(arena, &details, S("causes"), causes_val(arena, status));
    }
    if (status->retry_after_seconds != 0) {
        (void)val_set(arena, &details, S("retryAfterSeconds"),
                      val_int(status->retry_after_seconds));
    }
    if (val_count(&details) != 0 || status->code == 404) {
        (void)val_set(arena, &v, S("details"), details);
    }
    (void)val_set(arena, &v, S("code"), val_int(status->code));
    return v;
}

int status_to_err(const struct status *status, struct err *err)
{
    int code = ERR_INTERNAL;
    for (size_t i = sizeof(err_rows) / sizeof(err_rows[0]); i-- > 0;) {
        if (err_rows[i].http == status->code &&
            (status->code != 409 || str_eq(str_of(err_rows[i].reason), status->reason))) {
            code = err_rows[i].err;
        }
    }
    size_t n = status->message.n < ERR_MSG_MAX ? status->message.n : ERR_MSG_MAX - 1;
    return err_set(err, code, "%.*s", (int)n, n == 0 ? "" : status->message.p);
}
