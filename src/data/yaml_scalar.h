// SPDX-License-Identifier: Apache-2.0
//
// Which value a plain YAML scalar is, by the rules of yaml.v2 (sigs.k8s.io/yaml). Reader and writer
// share it: what would be read as something else is written in quotes.
#ifndef CORACLE_DATA_YAML_SCALAR_H
#define CORACLE_DATA_YAML_SCALAR_H

#include "data/val.h"

/* Null, bool, number or, when nothing else fits, the string itself (borrowed). *ret_is_finite is
 * false for .inf and .nan, which JSON can't hold (ret is then null). */
struct val yaml_plain(struct str text, bool *ret_is_finite);

#endif
