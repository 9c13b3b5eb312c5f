// SPDX-License-Identifier: Apache-2.0
//
// Times and spans as Kubernetes writes them: RFC 3339 in UTC (metav1.Time has seconds, MicroTime
// six digits), Go durations, and the short ages of tables.
#ifndef CORACLE_BASE_TIMEFMT_H
#define CORACLE_BASE_TIMEFMT_H

#include "base/clock.h"
#include "base/str.h"

enum { TIME_TEXT_MAX = 40 }; /* any of the texts below with its NUL */

/* "2026-01-02T03:04:05Z". */
void time_format(usec wall, char out[static TIME_TEXT_MAX]);
/* "2026-01-02T03:04:05.123456Z". */
void time_format_micro(usec wall, char out[static TIME_TEXT_MAX]);
/* RFC 3339 with any fraction and offset; ERR_INVALID when it is not one. */
MUST_CHECK int time_parse(struct str text, usec *ret_wall);
/* The age column: "5s", "2m3s", "3h" (apimachinery duration.HumanDuration; spec/api.md 8.1). */
void span_format_human(usec span, char out[static TIME_TEXT_MAX]);
/* A Go duration: "1.5s", "10s", "1m20s", "234.5ms". */
void span_format_go(usec span, char out[static TIME_TEXT_MAX]);
/* A Go duration with units h, m, s, ms, us; ERR_INVALID when it is not one. */
MUST_CHECK int span_parse_go(struct str text, usec *ret);

#endif
