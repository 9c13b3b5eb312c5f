// SPDX-License-Identifier: Apache-2.0
//
// Status errors as Kubernetes words them (spec/api.md 4): HTTP code, reason, message, details,
// causes.
#ifndef CORACLE_API_STATUS_H
#define CORACLE_API_STATUS_H

#include "api/kind.h"
#include "base/arena.h"

enum cause_type {
    CAUSE_REQUIRED,
    CAUSE_INVALID,
    CAUSE_NOT_SUPPORTED,
    CAUSE_DUPLICATE,
    CAUSE_FORBIDDEN,
    CAUSE_TOO_LONG,
    CAUSE_TOO_MANY,
    CAUSE_NOT_FOUND,
    CAUSE_TYPE_INVALID,
    CAUSE_INTERNAL
};

struct cause {
    struct str reason;  /* "FieldValueInvalid", "FieldManagerConflict", … */
    struct str message; /* "Invalid value: \"x\": must be …" */
    struct str field;   /* "spec.containers[0].image"; may be empty */
};

/* Field errors of one validation, in the order found; the rest after CAUSES_MAX or CAUSES_BYTES_MAX
 * is not told. */
struct causes {
    struct arena *arena;
    struct cause *list;
    size_t count;
    size_t cap;
    size_t bytes; /* of their text */
};
void causes_init(struct causes *causes, struct arena *arena);
/* value may be NULL; it is shown for the types that show one. path and detail are printf'd by the
 * caller (arena_fmt); detail may be empty. */
void cause_add(struct causes *causes, enum cause_type type, struct str path,
               const struct val *value, struct str detail);
/* "supported values: "A", "B"" for enumerations. */
void cause_add_unsupported(struct causes *causes, struct str path, const struct val *value,
                           const struct str *supported, size_t count);

struct status {
    int code;          /* HTTP */
    struct str reason; /* "NotFound"; may be empty */
    struct str message;
    struct str name; /* details.name, .group, .kind, .uid: empty ones are left out */
    struct str group;
    struct str kind;
    struct str uid;
    const struct cause *causes;
    size_t causes_count;
    int retry_after_seconds; /* 0 = none */
};

/* The usual failures; all text lives in arena. */
struct status status_not_found(struct arena *arena, const struct kind *kind, struct str name);
struct status status_exists(struct arena *arena, const struct kind *kind, struct str name);
struct status status_conflict(struct arena *arena, const struct kind *kind, struct str name,
                              struct str why);
struct status status_invalid(struct arena *arena, const struct kind *kind, struct str name,
                             const struct causes *causes);
struct status status_forbidden(struct arena *arena, const struct kind *kind, struct str name,
                               struct str why);
/* More than DOC_VALUES_MAX values. */
struct status status_too_large(struct arena *arena);
struct status status_bad_request(struct arena *arena, struct str message);
struct status status_no_route(void);
struct status status_method_not_allowed(void);
struct status status_expired(struct arena *arena, struct str message);
/* Any err by its code: NOT_FOUND 404, EXISTS and CONFLICT 409, INVALID 422, SYNTAX 400, DENIED 403,
 * UNKNOWN_USER 401, LIMIT 413, TIMEOUT 504, GONE 410, AGAIN 429, UNSUPPORTED 405, others 500. */
struct status status_of_err(struct arena *arena, const struct err *err);

/* The Status document of a failure. */
struct val status_val(struct arena *arena, const struct status *status);
/* err with the status' message and the matching code, for callers that aren't HTTP. */
int status_to_err(const struct status *status, struct err *err);

#endif
