// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static enum log_level level_min = LOG_INFO;
static int level_is_read;

static void read_level(void)
{
    const char *wanted = getenv("CORACLE_LOG");
    level_is_read = 1;
    for (size_t i = 0; wanted != NULL && i < ARRAY_LEN(level_names); i++) {
        if (strcmp(wanted, level_names[i]) == 0) {
            level_min = (enum log_level)i;
        }
    }
}

void log_set_level(enum log_level level)
{
    level_min = level;
    level_is_read = 1;
}

void log_write(enum log_level level, const char *room, const char *fmt, ...)
{
    if (!level_is_read) {
        read_level();
    }
    if (level < level_min) {
        return;
    }
    char line[2048];
    char stamp[TIME_TEXT_MAX];
    time_format_micro(clock_system()->wall(NULL), stamp);
    int n = snprintf(line, sizeof line, "%.23sZ %s %s: ", stamp, level_names[level], room);
    va_list args;
    va_start(args, fmt);
    n += vsnprintf(line + n, sizeof line - (size_t)n, fmt, args);
    va_end(args);
    size_t len = (size_t)n >= sizeof line - 1 ? sizeof line - 2 : (size_t)n;
    line[len] = '\n';
    (void)!write(STDERR_FILENO, line, len + 1);
}
