// SPDX-License-Identifier: Apache-2.0
//
// The columns of volumes, claims and storage classes (spec/api.md 8.2).
#include "api/cells.h"

#include "base/mem.h"

static struct val phase_or_terminating(const struct cell_in *in)
{
    if (val_text_at(in->obj, "metadata.deletionTimestamp").n != 0) {
        return val_str(S("Terminating"));
    }
    return val_str(val_text_at(in->obj, "status.phase"));
}

/* "RWO,ROX" in this order, each once. */
static struct val access_modes(const struct cell_in *in, const struct val *modes)
{
    static const char *const names[][2] = {
        {"ReadWriteOnce",    "RWO" },
        {"ReadOnlyMany",     "ROX" },
        {"ReadWriteMany",    "RWX" },
        {"ReadWriteOncePod", "RWOP"},
    };
    struct joined j = {.arena = in->arena};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        for (size_t k = 0; k < val_count(modes); k++) {
            if (str_eq(val_text(val_at(modes, k)), str_of(names[i][0]))) {
                joined_add(&j, ",", str_of(names[i][1]));
                break;
            }
        }
    }
    return val_str(j.text);
}

static struct val volume_class(const struct cell_in *in)
{
    const struct val *annotations = val_path(in->obj, "metadata.annotations");
    const struct val *beta = val_get(annotations, S("volume.beta.kubernetes.io/storage-class"));
    return val_str(beta != NULL ? val_text(beta) : val_text_at(in->obj, "spec.storageClassName"));
}

static struct val volume_attributes_class(const struct cell_in *in)
{
    return text_or(val_text_at(in->obj, "spec.volumeAttributesClassName"), "<unset>");
}

static struct val volume_mode(const struct cell_in *in)
{
    return text_or(val_text_at(in->obj, "spec.volumeMode"), "<unset>");
}

static struct val claim_volume(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "spec.volumeName"));
}

static bool is_bound(const struct cell_in *in)
{
    return val_text_at(in->obj, "spec.volumeName").n != 0;
}

static struct val claim_capacity(const struct cell_in *in)
{
    return val_str(is_bound(in) ? val_text_at(in->obj, "status.capacity.storage") : S(""));
}

static struct val claim_modes(const struct cell_in *in)
{
    return access_modes(in, is_bound(in) ? val_path(in->obj, "status.accessModes") : NULL);
}

static const struct column claim_list[] = {
    COLUMN_NAME,
    COLUMN("Status", "string", 0, phase_or_terminating),
    COLUMN("Volume", "string", 0, claim_volume),
    COLUMN("Capacity", "string", 0, claim_capacity),
    COLUMN("Access Modes", "string", 0, claim_modes),
    COLUMN("StorageClass", "string", 0, volume_class),
    COLUMN("VolumeAttributesClass", "string", 0, volume_attributes_class),
    COLUMN_AGE,
    COLUMN("VolumeMode", "string", 1, volume_mode),
};
const struct table_columns columns_persistent_volume_claim = {claim_list, ARRAY_LEN(claim_list),
                                                              NULL};

static struct val volume_capacity(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "spec.capacity.storage"));
}

static struct val volume_modes(const struct cell_in *in)
{
    return access_modes(in, val_path(in->obj, "spec.accessModes"));
}

static struct val volume_policy(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "spec.persistentVolumeReclaimPolicy"));
}

static struct val volume_claim(const struct cell_in *in)
{
    const struct val *claim = val_path(in->obj, "spec.claimRef");
    if (claim == NULL) {
        return val_str(S(""));
    }
    return val_str(arena_fmt(in->arena, STR_FMT "/" STR_FMT,
                             STR_ARG(val_text(val_get(claim, S("namespace")))),
                             STR_ARG(val_text(val_get(claim, S("name"))))));
}

static struct val volume_reason(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "status.reason"));
}

static const struct column volume_list[] = {
    COLUMN_NAME,
    COLUMN("Capacity", "string", 0, volume_capacity),
    COLUMN("Access Modes", "string", 0, volume_modes),
    COLUMN("Reclaim Policy", "string", 0, volume_policy),
    COLUMN("Status", "string", 0, phase_or_terminating),
    COLUMN("Claim", "string", 0, volume_claim),
    COLUMN("StorageClass", "string", 0, volume_class),
    COLUMN("VolumeAttributesClass", "string", 0, volume_attributes_class),
    COLUMN("Reason", "string", 0, volume_reason),
    COLUMN_AGE,
    COLUMN("VolumeMode", "string", 1, volume_mode),
};
const struct table_columns columns_persistent_volume = {volume_list, ARRAY_LEN(volume_list), NULL};

static struct val class_name(const struct cell_in *in)
{
    const struct val *annotations = val_path(in->obj, "metadata.annotations");
    struct str ga =
        val_text(val_get(annotations, S("storageclass.kubernetes.io/is-default-class")));
    struct str beta =
        val_text(val_get(annotations, S("storageclass.beta.kubernetes.io/is-default-class")));
    bool is_default = str_eq(ga, S("true")) || str_eq(beta, S("true"));
    return val_str(arena_fmt(in->arena, STR_FMT "%s",
                             STR_ARG(val_text_at(in->obj, "metadata.name")),
                             is_default ? " (default)" : ""));
}

static struct val class_provisioner(const struct cell_in *in)
{
    return val_str(val_text_at(in->obj, "provisioner"));
}

static struct val class_policy(const struct cell_in *in)
{
    return text_or(val_text_at(in->obj, "reclaimPolicy"), "Delete");
}

static struct val class_binding(const struct cell_in *in)
{
    return text_or(val_text_at(in->obj, "volumeBindingMode"), "Immediate");
}

static struct val class_expansion(const struct cell_in *in)
{
    return val_bool(val_true_at(in->obj, "allowVolumeExpansion"));
}

static const struct column class_list[] = {
    {COLUMN_TEXT("Name"), COLUMN_TEXT("string"), COLUMN_TEXT("name"), 0, class_name},
    COLUMN("Provisioner", "string", 0, class_provisioner),
    COLUMN("ReclaimPolicy", "string", 0, class_policy),
    COLUMN("VolumeBindingMode", "string", 0, class_binding),
    COLUMN("AllowVolumeExpansion", "boolean", 0, class_expansion),
    COLUMN_AGE,
};
const struct table_columns columns_storage_class = {class_list, ARRAY_LEN(class_list), NULL};
