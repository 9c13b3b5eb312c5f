// SPDX-License-Identifier: Apache-2.0
//
// A container's image, as its pull policy wants it (spec/node.md 1.3, 1.4, 5.1 to 5.3).
//
//   policy                 on the node                         absent
//   Never                  taken                               ErrImageNeverPull
//   IfNotPresent           taken                               pulled
//   Always                 asked for again, if a registry      pulled
//                          gave it; taken, if an archive did
// What another pod's secret pulled counts as absent (image_access.h).
#ifndef CORACLE_NODE_POD_IMAGE_H
#define CORACLE_NODE_POD_IMAGE_H

#include "node/pod.h"

/* The image of a slot that is pending; NULL: a pull is under way, after which slot_create_from or
 * another decision follows, or the failure has been told. */
const struct image *slot_image(struct pod *pod, size_t index);

/* Go's way to write a span, cut to milliseconds: "1m2.3s". Pure. */
struct str span_text(struct arena *arena, usec span);

#endif
