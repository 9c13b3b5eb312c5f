// SPDX-License-Identifier: Apache-2.0
//
// list: selectors, pages over one snapshot, resourceVersion rules (spec/api.md 3.2).
//
// A continue token is upstream's: base64url of {"v":"meta.k8s.io/v1","rv":N,"start":"key\u0000"}.
// start is the key after the list's prefix, so a token is bound to its URL.
#include "api/verbs.h"

#include "base/enc.h"
#include "base/limits.h"
#include "data/json.h"

struct page {
    struct str prefix;
    uint64_t rev;     /* snapshot asked for, 0 = now */
    struct str start; /* first key of the page, or empty */
};

static int read_token(struct api_req *req, struct page *page, struct status *ret_status)
{
    auto_buf struct buf text;
    buf_init(&text, HEADER_BYTES_MAX);
    struct val token = val_null();
    struct err err;
    int rc = base64url_decode(&text, req->opt.continue_token);
    if (rc == 0) {
        struct str copy = arena_dup(req->arena, buf_str(&text));
        rc = json_read(copy, req->arena, NULL, &token, &err);
    }
    struct str start = val_text(val_get(&token, S("start")));
    int64_t rev = val_number(val_get(&token, S("rv")), 0);
    if (rc < 0 || start.n == 0 || rev < 0 ||
        !str_eq(val_text(val_get(&token, S("v"))), S("meta.k8s.io/v1"))) {
        *ret_status =
            status_bad_request(req->arena, S("continue key is not valid: it can't be decoded"));
        return -1;
    }
    page->rev = (uint64_t)rev;
    page->start = arena_fmt(req->arena, STR_FMT STR_FMT, STR_ARG(page->prefix), STR_ARG(start));
    if (start.p[start.n - 1] == '\0') { /* %.*s stops at the NUL, which ends upstream's keys */
        char *key = arena_alloc(req->arena, page->start.n + 1);
        memcpy(key, page->start.p, page->start.n);
        page->start = (struct str){key, page->start.n + 1};
    }
    return 0;
}

static struct str make_token(struct arena *arena, const struct page *page, uint64_t rev,
                             struct str last_key)
{
    struct str rest = str_sub(last_key, page->prefix.n, last_key.n);
    char *start = arena_alloc(arena, rest.n + 1); /* zeroed: the NUL makes it "after this key" */
    memcpy(start, rest.p, rest.n);
    struct val token = val_map();
    (void)val_set(arena, &token, S("v"), val_str(S("meta.k8s.io/v1")));
    (void)val_set(arena, &token, S("rv"), val_int((int64_t)rev));
    (void)val_set(arena, &token, S("start"), val_str((struct str){start, rest.n + 1}));
    auto_buf struct buf json;
    auto_buf struct buf text;
    buf_init(&json, HEADER_BYTES_MAX);
    buf_init(&text, HEADER_BYTES_MAX);
    (void)json_write(&json, &token);
    (void)base64url_encode(&text, buf_str(&json));
    return arena_dup(arena, buf_str(&text));
}

static int plan(struct api *api, struct api_req *req, struct page *page, struct status *ret_status)
{
    if (options_check_list(req, ret_status) < 0) {
        return -1;
    }
    page->prefix = api_prefix(req->arena, req->kind, req->ns);
    if (req->opt.continue_token.n != 0) {
        return read_token(req, page, ret_status);
    }
    uint64_t rev = 0;
    if (options_rev(api, req->arena, req->opt.resource_version, &rev, ret_status) < 0) {
        return -1;
    }
    page->rev = str_eq(req->opt.rv_match, S("Exact")) ? rev : 0;
    return 0;
}

static struct status list_failed(struct api_req *req, const struct page *page,
                                 const struct err *err)
{
    if (err->code != ERR_GONE) {
        return status_of_err(req->arena, err);
    }
    if (req->opt.continue_token.n != 0) {
        return status_expired(req->arena,
                              S("The provided continue parameter is too old to display a "
                                "consistent list result. You must start a new list without the "
                                "continue parameter."));
    }
    return status_expired(req->arena, arena_fmt(req->arena,
                                                "The resourceVersion for the provided list is too "
                                                "old: %llu",
                                                (unsigned long long)page->rev));
}

static void fill(struct api_req *req, const struct page *page, const struct filter *filter,
                 struct object **objects, size_t count, struct api_result *result)
{
    size_t n = 0;
    size_t at = 0;
    size_t limit = req->opt.limit > 0 ? (size_t)req->opt.limit : SIZE_MAX;
    while (at < count && page->start.n != 0 && str_cmp(objects[at]->key, page->start) < 0) {
        at++;
    }
    for (; at < count && n < limit; at++) {
        if (filter_passes(filter, req->arena, objects[at])) {
            objects[n++] = objects[at]; /* n <= at: the array is compacted in place */
        }
    }
    result->list = objects;
    result->list_count = n;
    if (at < count && n == limit) {
        size_t remaining = count - at;
        bool has_more = filter->is_everything;
        for (size_t i = at; i < count && !has_more; i++) {
            has_more = filter_passes(filter, req->arena, objects[i]);
        }
        if (has_more) {
            result->list_continue =
                make_token(req->arena, page, result->list_rev, objects[n - 1]->key);
            result->list_remaining = filter->is_everything ? (int64_t)remaining : -1;
        }
    }
}

void read_list(struct api *api, struct api_req *req)
{
    struct status status;
    struct page page = {0};
    struct filter filter;
    if (filter_init(&filter, req->arena, req->kind, req->opt.label_selector,
                    req->opt.field_selector, &status) < 0 ||
        plan(api, req, &page, &status) < 0) {
        req_fail(req, &status);
        return;
    }
    struct api_result result = {.code = 200, .is_list = true, .list_remaining = -1};
    result.list_rev = page.rev == 0 ? store_rev(api->config.store) : page.rev;
    struct object **objects = NULL;
    size_t count = 0;
    struct err err = {0};
    if (store_list(api->config.store, page.prefix, page.rev, kind_store_flags(req->kind),
                   req->arena, &objects, &count, &err) < 0) {
        status = list_failed(req, &page, &err);
        req_fail(req, &status);
        return;
    }
    fill(req, &page, &filter, objects, count, &result);
    req_done(req, &result);
}
