// SPDX-License-Identifier: Apache-2.0
#include "registry/transfer.h"

#include "base/list.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>

enum { TURN_MS = 200 };

/* result, name, arguments */
#define LIBCURL(X)                                                                                 \
    X(CURLcode, curl_global_init, (long))                                                          \
    X(CURL *, curl_easy_init, (void))                                                              \
    X(void, curl_easy_cleanup, (CURL *))                                                           \
    X(CURLcode, curl_easy_setopt, (CURL *, CURLoption, ...))                                       \
    X(CURLcode, curl_easy_getinfo, (CURL *, CURLINFO, ...))                                        \
    X(CURLcode, curl_easy_perform, (CURL *))                                                       \
    X(const char *, curl_easy_strerror, (CURLcode))                                                \
    X(CURLM *, curl_multi_init, (void))                                                            \
    X(CURLMcode, curl_multi_cleanup, (CURLM *))                                                    \
    X(CURLMcode, curl_multi_add_handle, (CURLM *, CURL *))                                         \
    X(CURLMcode, curl_multi_remove_handle, (CURLM *, CURL *))                                      \
    X(CURLMcode, curl_multi_perform, (CURLM *, int *))                                             \
    X(CURLMcode, curl_multi_poll, (CURLM *, struct curl_waitfd *, unsigned, int, int *))           \
    X(CURLMsg *, curl_multi_info_read, (CURLM *, int *))                                           \
    X(CURLSH *, curl_share_init, (void))                                                           \
    X(CURLSHcode, curl_share_setopt, (CURLSH *, CURLSHoption, ...))                                \
    X(CURLSHcode, curl_share_cleanup, (CURLSH *))                                                  \
    X(struct curl_slist *, curl_slist_append, (struct curl_slist *, const char *))                 \
    X(void, curl_slist_free_all, (struct curl_slist *))

/* The header wraps these in macros that check types and ask for the functions themselves. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_share_setopt

struct libcurl {
/* NOLINTNEXTLINE(bugprone-macro-parentheses): declarations */
#define MEMBER(result, name, args) result(*name) args;
    LIBCURL(MEMBER)
#undef MEMBER
};

struct transfers {
    struct libcurl api;
    void *library;
    CURLM *multi;
    CURLSH *share;
    struct transfer *last; /* of transfer_get: holds the head */
    struct list running;
};

struct transfer {
    struct list node; /* of running */
    struct transfers *all;
    CURL *easy;
    struct curl_slist *headers;
    struct transfer_head head;
    struct transfer_sink sink;
    struct err err; /* of the sink */
    char why[CURL_ERROR_SIZE];
};

static int load(struct transfers *all, struct err *err)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    for (size_t i = 0; all->library == NULL && i < ARRAY_LEN(names); i++) {
        all->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (all->library == NULL) {
        return err_set(err, ERR_UNSUPPORTED,
                       "images can't be pulled without libcurl: install libcurl4");
    }
    void *symbol;
#define LOAD(result, name, args)                                                                   \
    symbol = dlsym(all->library, #name);                                                           \
    if (symbol == NULL) {                                                                          \
        return err_set(err, ERR_UNSUPPORTED, "libcurl has no %s: it is too old", #name);           \
    }                                                                                              \
    memcpy(&all->api.name, &symbol, sizeof symbol);
    LIBCURL(LOAD)
#undef LOAD
    return 0;
}

static void transfer_free(struct transfer *t)
{
    if (t != NULL) {
        t->all->api.curl_easy_cleanup(t->easy);
        t->all->api.curl_slist_free_all(t->headers);
        buf_done(&t->head.challenges);
        free(t);
    }
}

struct transfers *transfers_new(struct err *err)
{
    struct transfers *all = xcalloc(1, sizeof *all);
    if (load(all, err) < 0) {
        free(all);
        return NULL;
    }
    if (all->api.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        abort(); /* out of memory */
    }
    list_init(&all->running);
    all->multi = all->api.curl_multi_init();
    all->share = all->api.curl_share_init();
    (void)all->api.curl_share_setopt(all->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
    (void)all->api.curl_share_setopt(all->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    (void)all->api.curl_share_setopt(all->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    return all;
}

void transfers_free(struct transfers *all)
{
    if (all != NULL) {
        transfer_free(all->last);
        (void)all->api.curl_multi_cleanup(all->multi);
        (void)all->api.curl_share_cleanup(all->share);
        free(all); /* the library stays: what it started may still run */
    }
}

/* ---- one transfer ---------------------------------------------------------------------------- */

/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl says so */
static size_t on_header(char *p, size_t size, size_t count, void *ctx)
{
    answer_head_line(ctx, (struct str){p, size * count});
    return size * count;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl says so */
static size_t on_bytes(char *p, size_t size, size_t count, void *ctx)
{
    struct transfer *t = ctx;
    long status = 0;
    (void)t->all->api.curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->head.status = (int)status;
    struct str bytes = {p, size * count};
    return t->sink.bytes(t->sink.ctx, &t->head, bytes, &t->err) < 0 ? 0 : bytes.n;
}

static void add_header(struct transfer *t, const char *name, struct str value)
{
    if (value.n > 0) {
        auto_free char *line = xasprintf("%s: " STR_FMT, name, STR_ARG(value));
        t->headers = t->all->api.curl_slist_append(t->headers, line);
    }
}

static void set_security(struct transfer *t, const struct transfer_request *request)
{
    const struct libcurl *api = &t->all->api;
    auto_free char *ca_file = xasprintf(STR_FMT, STR_ARG(request->ca_file));
    bool is_tls = str_starts(request->url, S("https://"));
    (void)api->curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)api->curl_easy_setopt(t->easy, CURLOPT_REDIR_PROTOCOLS_STR,
                                is_tls ? "https" : "http,https"); /* keeps (2) */
    (void)api->curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 1L);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_MAXREDIRS, (long)TRANSFER_REDIRECTS_MAX);
    if (request->ca_file.n > 0) {
        (void)api->curl_easy_setopt(t->easy, CURLOPT_CAINFO, ca_file);
    }
    (void)api->curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, request->is_unverified ? 0L : 1L);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, request->is_unverified ? 0L : 2L);
}

static struct transfer *transfer_new(struct transfers *all, const struct transfer_request *request,
                                     const struct transfer_sink *sink)
{
    struct transfer *t = xcalloc(1, sizeof *t);
    const struct libcurl *api = &all->api;
    auto_free char *url = xasprintf(STR_FMT, STR_ARG(request->url));
    auto_free char *form = xasprintf(STR_FMT, STR_ARG(request->form));
    auto_free char *range = xasprintf("%llu-", (unsigned long long)request->offset);
    t->all = all;
    t->sink = *sink;
    t->easy = api->curl_easy_init();
    buf_init(&t->head.challenges, ANSWER_HEADER_MAX);
    /* Custom headers of this name are held back from other hosts by libcurl: keeps (1). */
    add_header(t, "Authorization", request->authorization);
    add_header(t, "Accept", request->accept);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_URL, url);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "coracle");
    (void)api->curl_easy_setopt(t->easy, CURLOPT_SHARE, all->share);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT, (long)TRANSFER_CONNECT_SECONDS);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, (long)TRANSFER_SLOW_BYTES);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, (long)TRANSFER_SLOW_SECONDS);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, &t->head);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->why);
    (void)api->curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    if (request->form.n > 0) {
        (void)api->curl_easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS, form);
    }
    if (request->is_head) {
        (void)api->curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    }
    if (request->is_direct) {
        (void)api->curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
    }
    if (request->offset > 0) {
        (void)api->curl_easy_setopt(t->easy, CURLOPT_RANGE, range);
    }
    set_security(t, request);
    return t;
}

/* libcurl's code, ours; others are ERR_IO and may pass */
static const struct {
    CURLcode code;
    int rank;
} ranks[] = {
    {CURLE_SSL_CONNECT_ERROR,        ERR_AGAIN  },
    {CURLE_OPERATION_TIMEDOUT,       ERR_TIMEOUT},
    {CURLE_PEER_FAILED_VERIFICATION, ERR_DENIED },
    {CURLE_SSL_CACERT_BADFILE,       ERR_INVALID},
    {CURLE_TOO_MANY_REDIRECTS,       ERR_INVALID},
    {CURLE_UNSUPPORTED_PROTOCOL,     ERR_INVALID},
};

/* 0, or what went wrong: the sink's own error before libcurl's. */
static int finish(struct transfer *t, CURLcode code, struct err *err)
{
    long status = 0;
    (void)t->all->api.curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->head.status = (int)status;
    if (code == CURLE_OK) {
        return 0;
    }
    if (t->err.code != 0) {
        *err = t->err;
        return err->code;
    }
    const char *why = t->why[0] != '\0' ? t->why : t->all->api.curl_easy_strerror(code);
    int rank = ERR_IO;
    for (size_t i = 0; i < ARRAY_LEN(ranks); i++) {
        rank = ranks[i].code == code ? ranks[i].rank : rank;
    }
    return err_set(err, rank, "%s", why);
}

/* ---- one at once ----------------------------------------------------------------------------- */

static int keep_bytes(void *ctx, const struct transfer_head *head, struct str bytes,
                      struct err *err)
{
    struct buf *body = ctx;
    (void)head;
    return buf_add(body, bytes) < 0
               ? err_set(err, ERR_LIMIT, "the answer is over %zu bytes", body->max)
               : 0;
}

int transfer_get(struct transfers *all, const struct transfer_request *request, size_t bytes_max,
                 struct arena *arena, const struct transfer_head **ret_head, struct str *ret_body,
                 struct err *err)
{
    auto_buf struct buf body;
    buf_init(&body, bytes_max);
    const struct transfer_sink sink = {.bytes = keep_bytes, .ctx = &body};
    transfer_free(all->last);
    all->last = transfer_new(all, request, &sink);
    (void)all->api.curl_easy_setopt(all->last->easy, CURLOPT_TIMEOUT, (long)TRANSFER_GET_SECONDS);
    CURLcode code = all->api.curl_easy_perform(all->last->easy);
    if (finish(all->last, code, err) < 0) {
        return err->code;
    }
    *ret_head = &all->last->head;
    *ret_body = arena_dup(arena, buf_str(&body));
    return 0;
}

/* ---- side by side ---------------------------------------------------------------------------- */

void transfer_start(struct transfers *all, const struct transfer_request *request,
                    const struct transfer_sink *sink)
{
    struct transfer *t = transfer_new(all, request, sink);
    (void)all->api.curl_multi_add_handle(all->multi, t->easy);
    list_add_tail(&all->running, &t->node);
}

bool transfers_run(struct transfers *all)
{
    int count = 0;
    int left;
    (void)all->api.curl_multi_perform(all->multi, &count);
    for (CURLMsg *m = all->api.curl_multi_info_read(all->multi, &left); m != NULL;
         m = all->api.curl_multi_info_read(all->multi, &left)) {
        struct transfer *t = NULL;
        struct err err = {0};
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE) {
            continue;
        }
        (void)all->api.curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        int r = finish(t, code, &err);
        (void)all->api.curl_multi_remove_handle(all->multi, t->easy);
        list_remove(&t->node);
        t->sink.done(t->sink.ctx, &t->head, r < 0 ? &err : NULL);
        transfer_free(t);
    }
    if (!list_empty(&all->running)) {
        (void)all->api.curl_multi_poll(all->multi, NULL, 0, TURN_MS, NULL);
    }
    return !list_empty(&all->running);
}

void transfers_stop(struct transfers *all)
{
    struct list *it;
    struct list *next;
    list_foreach (it, next, &all->running) {
        struct transfer *t = container_of(it, struct transfer, node);
        list_remove(&t->node);
        (void)all->api.curl_multi_remove_handle(all->multi, t->easy);
        transfer_free(t);
    }
}
