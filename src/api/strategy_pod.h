// SPDX-License-Identifier: Apache-2.0
//
// Pod specs are shared: pods have one, templates of every workload hold one.
#ifndef CORACLE_API_STRATEGY_POD_H
#define CORACLE_API_STRATEGY_POD_H

#include "api/status.h"
#include "api/strategy.h"

/* Defaults of a PodTemplateSpec ({metadata, spec}); template is made a map when absent parts need
 * it. */
void pod_template_defaults(struct arena *arena, struct val *template);
/* Defaults of a PodSpec; is_pod adds what upstream gives to pods only (enableServiceLinks, requests
 * from limits). */
void pod_spec_defaults(struct arena *arena, struct val *spec, bool is_pod);
/* Validates a PodTemplateSpec at path ("spec.template"). extra_volumes are names that exist besides
 * spec.volumes: a StatefulSet's claim templates. */
void pod_template_validate(const struct val *template, struct str path,
                           const struct str *extra_volumes, size_t extra_count,
                           struct causes *causes);
void pod_spec_validate(const struct val *spec, struct str path, const struct str *extra_volumes,
                       size_t extra_count, struct causes *causes);
/* spec.volumes of a PodSpec. */
void pod_volumes_validate(const struct val *volumes, struct str path, struct causes *causes);
/* "Guaranteed", "Burstable" or "BestEffort" (spec/node.md 3.5). */
struct str pod_qos_class(const struct val *spec);

#endif
