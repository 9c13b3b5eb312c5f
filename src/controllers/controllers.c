// SPDX-License-Identifier: Apache-2.0
//
// The rows of all controllers. One row a controller; the order is the order in which they start.
#include "controllers/decide.h"

#include "base/mem.h"

#define CONTROLLERS(X)                                                                             \
    X(serviceaccount)                                                                              \
    X(statefulset)                                                                                 \
    X(volume)                                                                                      \
    X(provisioner)                                                                                 \
    X(endpointslice)                                                                               \
    X(endpoints)                                                                                   \
    X(volume_protection)                                                                           \
    X(garbage)                                                                                     \
    X(pdb)                                                                                         \
    X(podgc)                                                                                       \
    X(namespace)

#define CONTROLLER_DECLARE(name) extern const struct controller controller_##name;
CONTROLLERS(CONTROLLER_DECLARE)
#undef CONTROLLER_DECLARE

#define CONTROLLER_ROW(name) &controller_##name,
static const struct controller *const rows[] = {CONTROLLERS(CONTROLLER_ROW)};
#undef CONTROLLER_ROW

const struct controller *const *controllers(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(rows);
    return rows;
}
