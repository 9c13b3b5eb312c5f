// SPDX-License-Identifier: Apache-2.0
//
// Edits of a StatefulSet's claim templates, which upstream refuses altogether (#68737, #121178):
// labels and annotations are free, the storage request may grow. The controller carries an edit to
// the claims that exist. A request may be lowered again as long as no claim has got more than that.
#ifndef CORACLE_API_SET_TEMPLATES_H
#define CORACLE_API_SET_TEMPLATES_H

#include "api/strategy.h"

/* What makes a claim that can be created: its specification, labels and annotations. */
void set_template_validate(const struct val *template, struct str path, struct causes *causes);
/* Marks an edit (SET_TEMPLATES_EDITED) and refuses what can't be carried out. */
void set_templates_admit(struct admission *a, struct val *obj);
/* spec with the editable parts of its claim templates as before has them: what still differs may
 * not change. */
void set_templates_mask(struct arena *arena, struct val *spec, const struct val *before);

#endif
