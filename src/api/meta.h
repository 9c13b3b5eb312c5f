// SPDX-License-Identifier: Apache-2.0
//
// Rules of names, labels and metadata (spec/api.md 6), in upstream's words. Strategies use the
// checks for what their specs hold.
#ifndef CORACLE_API_META_H
#define CORACLE_API_META_H

#include "api/status.h"
#include "base/clock.h"

/* What is wrong with a name, or empty. is_prefix: a generateName, whose last character may be what
 * only the suffix makes legal. Static text. */
struct str name_check_subdomain(struct str name, bool is_prefix);    /* RFC 1123 subdomain, 253 */
struct str name_check_label(struct str name, bool is_prefix);        /* RFC 1123 label, 63 */
struct str name_check_dns1035(struct str name, bool is_prefix);      /* RFC 1035 label, 63 */
struct str name_check_path_segment(struct str name, bool is_prefix); /* RBAC: no '/', no '%' */
/* "[prefix/]name" as in label keys, and the value of a label. */
struct str name_check_qualified(struct str key);
struct str name_check_label_value(struct str value);

/* Maps of labels and annotations at path. */
void labels_validate(struct causes *causes, struct str path, const struct val *labels);
void annotations_validate(struct causes *causes, struct str path, const struct val *annotations);

/* metadata of a new object, and of a new version against the one before. */
void meta_validate(struct causes *causes, const struct kind *kind, const struct val *obj);
void meta_validate_update(struct causes *causes, const struct kind *kind, const struct val *obj,
                          const struct val *old);

/* "2026-01-02T03:04:05Z" as a value. */
struct val meta_time(struct arena *arena, usec wall);
/* obj's metadata for editing, made when absent. */
struct val *meta_of(struct arena *arena, struct val *obj);
bool meta_has_finalizer(const struct val *obj, struct str finalizer);

#endif
