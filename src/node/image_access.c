// SPDX-License-Identifier: Apache-2.0
#include "node/image_access.h"

#include "base/log.h"
#include "base/mem.h"
#include "node/image_store.h"
#include "registry/reference.h"

#define LOG_ROOM "node"

enum { ACCESS_ARENA_MAX = 8 << 20 };

/* "docker.io/library/busybox": a name without tag and digest. */
static struct str repository_of(struct arena *arena, struct str ref)
{
    struct reference r;
    struct err err;
    return reference_parse(ref, &r, &err) < 0
               ? ref
               : arena_fmt(arena, STR_FMT "/" STR_FMT, STR_ARG(r.domain),
                           STR_ARG(reference_repository(arena, &r)));
}

/* What was for everybody stays so under its other names. */
static struct val first_access(struct arena *arena, const struct image *image,
                               struct str repository)
{
    struct val access = val_map();
    for (size_t i = 0; i < image->names_count; i++) {
        struct str other = repository_of(arena, image->names[i]);
        if (!str_eq(other, repository)) {
            (void)val_set(arena, val_need_map(arena, &access, other), S("everybody"),
                          val_bool(true));
        }
    }
    return access;
}

static bool is_same_secret(const struct val *row, const struct image_secret *s)
{
    return str_eq(val_text_at(row, "uid"), s->uid) && str_eq(val_text_at(row, "name"), s->name) &&
           str_eq(val_text_at(row, "namespace"), s->ns);
}

int image_allow(struct image_store *store, const struct image *image, struct str ref,
                const struct image_secret *secret, struct err *err)
{
    auto_arena struct arena *arena = arena_new(ACCESS_ARENA_MAX);
    struct image_entry *e = map_find(&store->images, image->id);
    struct str repository = repository_of(arena, ref);
    struct val access = image->access == NULL ? first_access(arena, image, repository)
                                              : val_copy(arena, image->access);
    struct val *row = val_need_map(arena, &access, repository);
    if (secret == NULL) {
        *row = val_map();
        (void)val_set(arena, row, S("everybody"), val_bool(true));
    } else if (!val_true_at(row, "everybody")) {
        struct val *list = val_need_list(arena, row, S("secrets"));
        struct val v = val_map();
        (void)val_set(arena, &v, S("namespace"), val_str(secret->ns));
        (void)val_set(arena, &v, S("name"), val_str(secret->name));
        (void)val_set(arena, &v, S("uid"), val_str(secret->uid));
        (void)val_set(arena, &v, S("hash"), val_str(secret->hash));
        for (size_t i = val_count(list); i-- > 0;) {
            if (is_same_secret(val_at(list, i), secret)) {
                val_drop(list, i);
            }
        }
        if (val_count(list) == IMAGE_SECRETS_MAX) {
            val_drop(list, 0);
        }
        (void)val_push(arena, list, v);
    }
    if (image->access != NULL && val_eq(image->access, &access)) {
        return 0;
    }
    image_entry_set_access(e, &access);
    return image_store_write(store, err);
}

bool image_may_use(struct image_store *store, const struct image *image, struct str ref,
                   const struct image_secret *secrets, size_t count)
{
    if (image->access == NULL) {
        return true;
    }
    auto_arena struct arena *arena = arena_new(ACCESS_ARENA_MAX);
    const struct val *row = val_get(image->access, repository_of(arena, ref));
    const struct val *list = val_get(row, S("secrets"));
    if (val_true_at(row, "everybody")) {
        return true;
    }
    for (size_t i = 0; i < val_count(list); i++) {
        const struct val *known = val_at(list, i);
        for (size_t k = 0; k < count; k++) {
            bool has_hash = str_eq(val_text_at(known, "hash"), secrets[k].hash);
            bool is_same = is_same_secret(known, &secrets[k]);
            struct err err;
            if (!has_hash && !is_same) {
                continue;
            }
            if ((!has_hash || !is_same) && image_allow(store, image, ref, &secrets[k], &err) < 0) {
                log_warn("%s", err.msg); /* it is asked for at the registry another time */
            }
            return true;
        }
    }
    return false;
}
