// SPDX-License-Identifier: Apache-2.0
//
// One line a message on standard error: "2026-11-22T15:57:57.374Z level room: text". Library rooms
// log at debug only; the door that gives up on something logs it once. Secrets are never logged.
#ifndef CORACLE_BASE_LOG_H
#define CORACLE_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Messages below level are dropped; LOG_INFO at start, or $CORACLE_LOG (debug, info, warn, error).
 */
void log_set_level(enum log_level level);
void log_write(enum log_level level, const char *room, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Each .c that logs defines LOG_ROOM as its room's name before the first use. */
#define log_debug(...) log_write(LOG_DEBUG, LOG_ROOM, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, LOG_ROOM, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, LOG_ROOM, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, LOG_ROOM, __VA_ARGS__)

#endif
