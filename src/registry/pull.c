// SPDX-License-Identifier: Apache-2.0
#include "registry/pull.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/json.h"
#include "registry/blobs.h"
#include "registry/digest.h"
#include "registry/reference.h"

#include <stdlib.h>

#define LOG_ROOM "registry"

struct pull {
    const struct pull_config *config;
    struct arena *arena;
    struct transfers *transfers;
    struct origin *origin;
    struct reference reference;
    struct str repository;
};

static int keep(struct pull *p, struct str digest, struct str bytes, struct err *err)
{
    auto_free char *name = xasprintf(STR_FMT, STR_ARG(digest_hex(digest)));
    return file_write_atomic(p->config->dir, name, bytes, 0600, err);
}

/* A manifest or an index by tag or digest. want empty = whatever digest it has. */
static int get_manifest(struct pull *p, struct str name, struct str want, struct str *ret_digest,
                        struct str *ret_text, struct val *ret, struct err *err)
{
    const struct transfer_head *head;
    char found[DIGEST_TEXT_MAX];
    if (origin_get(p->origin, "manifests", name, MANIFEST_BYTES_MAX, &head, ret_text, err) < 0) {
        return err->code;
    }
    if (json_read(*ret_text, p->arena, NULL, ret, err) < 0 || !val_is(ret, VAL_MAP)) {
        return err_set(err, ERR_INVALID, "the registry answered with '%s', expected a manifest",
                       head->content_type[0] != '\0' ? head->content_type : "no type");
    }
    digest_of(*ret_text, found);
    struct str told = str_of(head->digest);
    if (want.n == 0 && str_starts(told, S("sha256:"))) {
        want = told;
    }
    if (want.n > 0 && !str_eq(want, str_of(found))) {
        return err_set(err, ERR_CORRUPT, "the manifest has digest %s, not " STR_FMT, found,
                       STR_ARG(want));
    }
    *ret_digest = arena_dup(p->arena, str_of(found));
    return 0;
}

/* From the reference to the manifest for this machine, through indexes. */
static int resolve(struct pull *p, struct pulled *ret, struct manifest *ret_manifest,
                   struct err *err)
{
    struct str want = p->reference.digest;
    struct str name = want.n > 0 ? want : p->reference.tag;
    for (int depth = 0; depth < PULL_INDEX_DEPTH_MAX; depth++) {
        struct str digest = {0};
        struct str text = {0};
        struct descriptor next;
        struct val v = val_null();
        if (get_manifest(p, name, want, &digest, &text, &v, err) < 0) {
            return err->code;
        }
        ret->digest = depth == 0 ? digest : ret->digest;
        if (!manifest_is_index(&v)) {
            ret->manifest = digest;
            return manifest_read(&v, ret_manifest, err) < 0 ? err->code
                                                            : keep(p, digest, text, err);
        }
        if (manifest_choose(&v, &next, err) < 0) {
            return err->code;
        }
        name = want = next.digest;
    }
    return err_set(err, ERR_LIMIT, "indexes nest deeper than %d", PULL_INDEX_DEPTH_MAX);
}

static int get_config(struct pull *p, const struct descriptor *d, struct str *ret, struct err *err)
{
    const struct transfer_head *head;
    char found[DIGEST_TEXT_MAX];
    if (d->size > PULL_CONFIG_BYTES_MAX) {
        return err_set(err, ERR_LIMIT, "a configuration of %llu bytes, at most %d",
                       (unsigned long long)d->size, PULL_CONFIG_BYTES_MAX);
    }
    if (origin_get(p->origin, "blobs", d->digest, PULL_CONFIG_BYTES_MAX, &head, ret, err) < 0) {
        return err_wrap(err, "configuration");
    }
    digest_of(*ret, found);
    return str_eq(d->digest, str_of(found))
               ? keep(p, d->digest, *ret, err)
               : err_set(err, ERR_CORRUPT, "the configuration has digest %s, not " STR_FMT, found,
                         STR_ARG(d->digest));
}

static int get_layers(struct pull *p, const struct manifest *m, struct str config_text,
                      struct err *err)
{
    const struct pull_config *config = p->config;
    bool wanted[MANIFEST_LAYERS_MAX] = {false};
    struct descriptor list[MANIFEST_LAYERS_MAX];
    size_t count = 0;
    if (config->plan(config->ctx, m, config_text, wanted, err) < 0) {
        return err->code;
    }
    for (size_t i = 0; i < m->layers_count; i++) {
        bool is_known = !wanted[i];
        for (size_t k = 0; k < count; k++) {
            is_known = is_known || str_eq(list[k].digest, m->layers[i].digest);
        }
        if (!is_known) {
            list[count++] = m->layers[i];
        }
    }
    const struct blobs_config blobs = {.origin = p->origin,
                                       .transfers = p->transfers,
                                       .dir = config->dir,
                                       .list = list,
                                       .count = count,
                                       .arrived = config->arrived,
                                       .progress = config->progress,
                                       .turn = config->turn,
                                       .ctx = config->ctx};
    return blobs_fetch(&blobs, err);
}

/* Registries that ration pulls don't count a HEAD. Whatever goes wrong, the GET will tell. */
static bool is_still_known(struct pull *p)
{
    const struct transfer_head *head;
    struct err ignored;
    return p->config->known.n > 0 && p->reference.digest.n == 0 &&
           origin_head(p->origin, p->reference.tag, &head, &ignored) == 0 &&
           str_eq(p->config->known, str_of(head->digest));
}

static int pull_from(struct pull *p, const struct endpoint *endpoint, struct pulled *ret,
                     struct err *err)
{
    const struct pull_config *config = p->config;
    const struct origin_config origin = {.transfers = p->transfers,
                                         .endpoint = endpoint,
                                         .domain = p->reference.domain,
                                         .repository = p->repository,
                                         .documents = config->documents,
                                         .arena = p->arena};
    struct manifest *m = arena_alloc(p->arena, sizeof *m);
    struct str text;
    p->origin = origin_new(&origin);
    ret->is_known = is_still_known(p);
    if (ret->is_known) {
        ret->credential = origin_credential(p->origin);
        return 0;
    }
    if (resolve(p, ret, m, err) < 0 || get_config(p, &m->config, &text, err) < 0) {
        struct str r = config->reference;
        if (err->code == ERR_NOT_FOUND) {
            (void)err_wrap(err, STR_FMT ": not found", STR_ARG(r));
        } else if (err->code == ERR_DENIED) {
            (void)err_wrap(err, "pull access denied, repository does not exist or may require "
                                "authorization");
        }
        return err_wrap(err, "failed to resolve reference \"" STR_FMT "\"", STR_ARG(r));
    }
    ret->credential = origin_credential(p->origin);
    return get_layers(p, m, text, err) < 0
               ? err_wrap(err, "failed to pull image \"" STR_FMT "\"", STR_ARG(config->reference))
               : 0;
}

int registry_pull(const struct pull_config *config, struct arena *arena, struct pulled *ret,
                  struct err *err)
{
    struct pull p = {.config = config, .arena = arena};
    struct endpoint endpoints[ENDPOINTS_MAX];
    if (reference_parse(config->reference, &p.reference, err) < 0) {
        return err->code;
    }
    if (p.reference.digest.n > 0 && !digest_is_valid(p.reference.digest)) {
        return err_set(err, ERR_UNSUPPORTED, "'" STR_FMT "': only sha256 digests can be checked",
                       STR_ARG(config->reference));
    }
    p.repository = reference_repository(arena, &p.reference);
    p.transfers = transfers_new(err);
    if (p.transfers == NULL) {
        return err->code;
    }
    size_t count = endpoints_find(config->registries, p.reference.domain, arena, endpoints);
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        r = pull_from(&p, &endpoints[i], ret, err);
        if (r == 0 || i + 1 == count) {
            break;
        }
        log_warn("%s, asking the next registry", err->msg);
    }
    transfers_free(p.transfers);
    return r;
}
