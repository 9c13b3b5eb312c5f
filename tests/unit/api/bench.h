// SPDX-License-Identifier: Apache-2.0
//
// An API over a store in memory and a virtual loop, and one call that sends a request and gives the
// answer as text.
#ifndef CORACLE_TESTS_UNIT_API_BENCH_H
#define CORACLE_TESTS_UNIT_API_BENCH_H

#include "test.h"

#include "api/api.h"
#include "loop/loop.h"

struct api_bench {
    struct loop *loop;
    struct store *store;
    struct rng rng;
    struct api *api;
    struct arena *arena; /* of all answers */
};
void bench_open(struct api_bench *bench); /* with the namespace "default" */
void bench_close(struct api_bench *bench);
/* Turns until everything proposed is durable and told. */
void bench_settle(struct api_bench *bench);

struct ask {
    enum api_verb verb;
    enum api_patch patch;
    enum kind_id kind;
    const char *sub;
    const char *ns;
    const char *name;
    const char *body; /* JSON with ' for " */
    const char *manager;
    bool is_force, is_dry_run;
    enum { ASK_WARN, ASK_STRICT, ASK_IGNORE } fields;
    int64_t limit;
    const char *next, *rv, *rv_match, *labels, *selects;
    const char *propagation;
    bool has_grace;
    int64_t grace;
};
struct answer {
    int code;           /* HTTP */
    struct str message; /* of a failure */
    struct str json;    /* the object, the document, the Status, or the names of a list "a b" */
    struct val val;     /* the same as a tree, not for lists */
    struct str next;    /* continue */
    int64_t remaining;
    uint64_t rev; /* of a list */
    size_t warnings;
    bool is_deleted;
};
struct answer ask(struct api_bench *bench, struct ask in);
/* ' becomes ". */
struct str quoted(struct arena *arena, const char *text);

#endif
