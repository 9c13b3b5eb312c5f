// SPDX-License-Identifier: Apache-2.0
//
// Objects to files.
#include "node/volume_project.h"

#include "base/enc.h"
#include "base/limits.h"
#include "base/mem.h"

struct project {
    const struct pod_source *source;
    struct arena *arena;
    struct volume_files *files;
    mode_t mode;
    struct str (*token)(void *ctx, const struct val *source);
    void *ctx;
};

bool volume_is_projected(const struct val *volume)
{
    return val_get(volume, S("configMap")) || val_get(volume, S("secret")) ||
           val_get(volume, S("downwardAPI")) || val_get(volume, S("projected"));
}

static bool source_shows(const struct val *source, enum kind_id kind, struct str name)
{
    if (kind == KIND_CONFIG_MAP) {
        return str_eq(val_text_at(source, "configMap.name"), name);
    }
    if (kind == KIND_SECRET) {
        return str_eq(val_text_at(source, "secret.secretName"), name) ||
               str_eq(val_text_at(source, "secret.name"), name);
    }
    return kind == KIND_POD && val_get(source, S("downwardAPI"));
}

bool volume_shows(const struct val *volume, enum kind_id kind, struct str name)
{
    if (source_shows(volume, kind, name)) {
        return true;
    }
    const struct val *sources = val_path(volume, "projected.sources");
    for (size_t i = 0; i < val_count(sources); i++) {
        if (source_shows(val_at(sources, i), kind, name)) {
            return true;
        }
    }
    return false;
}

static int add_file(struct project *p, struct str path, struct str bytes, const struct val *mode,
                    struct err *err)
{
    struct volume_file file = {
        .path = path, .bytes = bytes, .mode = (mode_t)val_number(mode, p->mode) & 0777, .uid = -1};
    return volume_files_add(p->files, p->arena, file, err);
}

/* --- configMap and secret --- */

static int add_value(struct project *p, struct str path, const struct val *value, bool is_base64,
                     const struct val *mode, struct err *err)
{
    if (!is_base64) {
        return add_file(p, path, val_text(value), mode, err);
    }
    auto_buf struct buf out;
    buf_init(&out, BODY_BYTES_MAX);
    int rc = base64_decode(&out, val_text(value));
    if (rc < 0) {
        return err_set(err, rc, "key \"" STR_FMT "\" is not base64", STR_ARG(path));
    }
    return add_file(p, path, buf_str(&out), mode, err);
}

static int add_keys(struct project *p, const struct val *map, bool is_base64, struct err *err)
{
    for (size_t i = 0; val_is(map, VAL_MAP) && i < val_count(map); i++) {
        int rc = add_value(p, map->members[i].key, &map->members[i].val, is_base64, NULL, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int add_items(struct project *p, const struct val *items, const struct val *object,
                     bool is_secret, bool is_optional, struct err *err)
{
    for (size_t i = 0; i < val_count(items); i++) {
        const struct val *item = val_at(items, i);
        struct str key = val_text(val_get(item, S("key")));
        const struct val *value = val_get(val_get(object, S("data")), key);
        const struct val *binary =
            is_secret ? NULL : val_get(val_get(object, S("binaryData")), key);
        if (!value && !binary) {
            if (is_optional) {
                continue;
            }
            return err_set(err, ERR_NOT_FOUND,
                           is_secret ? "references non-existent secret key: " STR_FMT
                                     : "configmap references non-existent config key: " STR_FMT,
                           STR_ARG(key));
        }
        int rc = add_value(p, val_text(val_get(item, S("path"))), value ? value : binary,
                           is_secret || !value, val_get(item, S("mode")), err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int add_object(struct project *p, const struct val *ref, bool is_secret, struct str name,
                      struct err *err)
{
    struct client *client = p->source->client;
    bool is_optional = val_is_true(val_get(ref, S("optional")));
    struct object *object =
        client->ops->get(client, is_secret ? KIND_SECRET : KIND_CONFIG_MAP,
                         val_text_at(p->source->pod, "metadata.namespace"), name);
    if (!object) {
        return is_optional ? 0
                           : err_set(err, ERR_NOT_FOUND, "%s \"" STR_FMT "\" not found",
                                     is_secret ? "secret" : "configmap", STR_ARG(name));
    }
    const struct val *v = object_val(object);
    const struct val *items = val_get(ref, S("items"));
    if (val_count(items) > 0) {
        return add_items(p, items, v, is_secret, is_optional, err);
    }
    int rc = add_keys(p, val_get(v, S("data")), is_secret, err);
    if (rc == 0 && !is_secret) {
        rc = add_keys(p, val_get(v, S("binaryData")), true, err);
    }
    return rc;
}

/* --- the downward API and tokens --- */

static int add_downward(struct project *p, const struct val *downward, struct err *err)
{
    const struct val *items = val_get(downward, S("items"));
    for (size_t i = 0; i < val_count(items); i++) {
        const struct val *item = val_at(items, i);
        const struct val *field = val_get(item, S("fieldRef"));
        struct str value = S("");
        int rc = field ? field_ref(p->source, val_text(val_get(field, S("fieldPath"))), true,
                                   p->arena, &value, err)
                       : resource_ref(p->source, val_get(item, S("resourceFieldRef")), NULL,
                                      p->arena, &value, err);
        if (rc == 0) {
            rc = add_file(p, val_text(val_get(item, S("path"))), value, val_get(item, S("mode")),
                          err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* The user all containers run as, or -1. */
static int64_t uniform_user(const struct val *pod)
{
    const struct val *containers = val_path(pod, "spec.containers");
    const struct val *common = val_path(pod, "spec.securityContext.runAsUser");
    int64_t user = val_number(common, -1);
    for (size_t i = 0; i < val_count(containers); i++) {
        const struct val *own = val_path(val_at(containers, i), "securityContext.runAsUser");
        int64_t this_one = val_number(own, val_number(common, -1));
        if (i > 0 && this_one != user) {
            return -1;
        }
        user = this_one;
    }
    return user;
}

static int add_token(struct project *p, const struct val *source, struct err *err)
{
    const struct val *pod = p->source->pod;
    int64_t user = uniform_user(pod);
    bool has_group = val_path(pod, "spec.securityContext.fsGroup");
    mode_t mode = has_group ? 0640 : user >= 0 ? 0600 : p->mode;
    struct volume_file file = {.path = val_text(val_get(source, S("path"))),
                               .bytes = p->token(p->ctx, source),
                               .mode = mode,
                               .uid = has_group ? -1 : user};
    return volume_files_add(p->files, p->arena, file, err);
}

static int add_source(struct project *p, const struct val *source, struct err *err)
{
    const struct val *part;
    if ((part = val_get(source, S("configMap")))) {
        return add_object(p, part, false, val_text(val_get(part, S("name"))), err);
    }
    if ((part = val_get(source, S("secret")))) {
        struct str name = val_text(val_get(part, S("secretName")));
        return add_object(p, part, true, name.n ? name : val_text(val_get(part, S("name"))), err);
    }
    if ((part = val_get(source, S("downwardAPI")))) {
        return add_downward(p, part, err);
    }
    if ((part = val_get(source, S("serviceAccountToken")))) {
        return add_token(p, part, err);
    }
    return err_set(err, ERR_UNSUPPORTED, "this kind of projected source is not supported");
}

int volume_project(const struct pod_source *source, const struct val *volume,
                   struct str (*token)(void *ctx, const struct val *source), void *ctx,
                   struct arena *arena, struct volume_files *ret, struct err *err)
{
    static const char *const kinds[] = {"configMap", "secret", "downwardAPI", "projected"};
    struct project p = {.source = source, .arena = arena, .files = ret, .token = token, .ctx = ctx};
    const struct val *sources = val_path(volume, "projected.sources");
    p.mode = 0644;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct val *mode = val_get(val_get(volume, str_of(kinds[i])), S("defaultMode"));
        p.mode = mode ? (mode_t)val_number(mode, 0644) & 0777 : p.mode;
    }
    if (!val_get(volume, S("projected"))) {
        return add_source(&p, volume, err);
    }
    for (size_t i = 0; i < val_count(sources); i++) {
        int rc = add_source(&p, val_at(sources, i), err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}
