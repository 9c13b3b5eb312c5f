// SPDX-License-Identifier: Apache-2.0
#include "registry/manifest.h"

#include "registry/digest.h"

#if defined(__aarch64__)
#define ARCHITECTURE "arm64"
#define VARIANT      "v8"
#else
#define ARCHITECTURE "amd64"
#define VARIANT      "v1"
#endif

const char manifest_accept[] = "application/vnd.oci.image.index.v1+json, "
                               "application/vnd.docker.distribution.manifest.list.v2+json, "
                               "application/vnd.oci.image.manifest.v1+json, "
                               "application/vnd.docker.distribution.manifest.v2+json, */*";

bool platform_is_ours(const struct val *platform)
{
    struct str variant = val_text_at(platform, "variant");
    return str_eq(val_text_at(platform, "os"), S("linux")) &&
           str_eq(val_text_at(platform, "architecture"), S(ARCHITECTURE)) &&
           (variant.n == 0 || str_eq(variant, S(VARIANT)));
}

bool manifest_is_index(const struct val *v)
{
    return val_is(val_get(v, S("manifests")), VAL_LIST);
}

static int read_descriptor(const struct val *v, const char *what, struct descriptor *ret,
                           struct err *err)
{
    struct str digest = val_text_at(v, "digest");
    int64_t size = val_number_at(v, "size", -1);
    if (!digest_is_valid(digest)) {
        return err_set(err, ERR_INVALID, "%s has digest '" STR_FMT "', expected sha256:…", what,
                       STR_ARG(str_sub(digest, 0, 100)));
    }
    if (size < 0) {
        return err_set(err, ERR_INVALID, "%s " STR_FMT " has no size", what, STR_ARG(digest));
    }
    *ret = (struct descriptor){digest, (uint64_t)size};
    return 0;
}

int manifest_choose(const struct val *index, struct descriptor *ret, struct err *err)
{
    const struct val *list = val_get(index, S("manifests"));
    const struct val *unlabelled = NULL;
    for (size_t i = 0; i < val_count(list); i++) {
        const struct val *platform = val_get(val_at(list, i), S("platform"));
        if (platform_is_ours(platform)) {
            return read_descriptor(val_at(list, i), "manifest", ret, err);
        }
        unlabelled = platform == NULL && unlabelled == NULL ? val_at(list, i) : unlabelled;
    }
    return unlabelled != NULL ? read_descriptor(unlabelled, "manifest", ret, err)
                              : err_set(err, ERR_UNSUPPORTED,
                                        "no match for platform in manifest: it has %zu, none for "
                                        "linux/" ARCHITECTURE,
                                        val_count(list));
}

int manifest_read(const struct val *v, struct manifest *ret, struct err *err)
{
    const struct val *layers = val_get(v, S("layers"));
    struct str type = val_text_at(v, "config.mediaType");
    *ret = (struct manifest){.layers_count = val_count(layers)};
    if (val_number_at(v, "schemaVersion", 0) == 1) {
        return err_set(err, ERR_UNSUPPORTED,
                       "docker's manifest schema 1 is not supported; push the image again with a "
                       "newer client");
    }
    if (val_number_at(v, "schemaVersion", 0) != 2 || !val_is(layers, VAL_LIST)) {
        return err_set(err, ERR_INVALID, "not a manifest: no schemaVersion 2, no layers");
    }
    if (!str_eq(type, S("application/vnd.oci.image.config.v1+json")) &&
        !str_eq(type, S("application/vnd.docker.container.image.v1+json"))) {
        return err_set(err, ERR_UNSUPPORTED,
                       "not an image that can run: its config is '" STR_FMT "'",
                       STR_ARG(str_sub(type, 0, 100)));
    }
    if (ret->layers_count > MANIFEST_LAYERS_MAX) {
        return err_set(err, ERR_LIMIT, "%zu layers, at most %d", ret->layers_count,
                       MANIFEST_LAYERS_MAX);
    }
    if (read_descriptor(val_get(v, S("config")), "config", &ret->config, err) < 0) {
        return err->code;
    }
    ret->bytes = ret->config.size;
    for (size_t i = 0; i < ret->layers_count; i++) {
        struct descriptor *layer = &ret->layers[i];
        if (read_descriptor(val_at(layers, i), "layer", layer, err) < 0) {
            return err->code;
        }
        ret->bytes +=
            layer->size > MANIFEST_IMAGE_BYTES_MAX ? MANIFEST_IMAGE_BYTES_MAX + 1 : layer->size;
    }
    if (ret->bytes > MANIFEST_IMAGE_BYTES_MAX) {
        return err_set(err, ERR_LIMIT, "layers of more than %llu bytes",
                       (unsigned long long)MANIFEST_IMAGE_BYTES_MAX);
    }
    return 0;
}
