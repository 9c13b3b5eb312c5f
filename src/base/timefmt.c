// SPDX-License-Identifier: Apache-2.0
#include "base/timefmt.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static void broken_down(usec wall, struct tm *tm, int *micros)
{
    int64_t seconds = wall / USEC_PER_SEC;
    int64_t rest = wall % USEC_PER_SEC;
    if (rest < 0) {
        rest += USEC_PER_SEC;
        seconds--;
    }
    time_t t = (time_t)seconds;
    (void)gmtime_r(&t, tm);
    *micros = (int)rest;
}

/* "2026-01-02T03:04:05"; strftime's %Y doesn't pad the years before 1000. */
static int format_seconds(const struct tm *tm, char out[static TIME_TEXT_MAX])
{
    return snprintf(out, TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", tm->tm_year + 1900,
                    tm->tm_mon + 1, tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec);
}

void time_format(usec wall, char out[static TIME_TEXT_MAX])
{
    struct tm tm;
    int micros;
    broken_down(wall, &tm, &micros);
    int n = format_seconds(&tm, out);
    (void)snprintf(out + n, TIME_TEXT_MAX - (size_t)n, "Z");
}

void time_format_micro(usec wall, char out[static TIME_TEXT_MAX])
{
    struct tm tm;
    int micros;
    broken_down(wall, &tm, &micros);
    int n = format_seconds(&tm, out);
    (void)snprintf(out + n, TIME_TEXT_MAX - (size_t)n, ".%06dZ", micros);
}

/* Reads exactly `digits` digits at *at. */
static int read_digits(struct str text, size_t *at, size_t digits, int *ret)
{
    int v = 0;
    for (size_t i = 0; i < digits; i++, (*at)++) {
        if (*at >= text.n || text.p[*at] < '0' || text.p[*at] > '9') {
            return ERR_INVALID;
        }
        v = v * 10 + (text.p[*at] - '0');
    }
    *ret = v;
    return 0;
}

static int read_char(struct str text, size_t *at, char c)
{
    if (*at >= text.n || text.p[*at] != c) {
        return ERR_INVALID;
    }
    (*at)++;
    return 0;
}

static int read_fraction(struct str text, size_t *at, usec *ret)
{
    usec scale = USEC_PER_SEC;
    *ret = 0;
    if (*at >= text.n || text.p[*at] != '.') {
        return 0;
    }
    size_t start = ++*at;
    while (*at < text.n && text.p[*at] >= '0' && text.p[*at] <= '9') {
        scale /= 10;
        *ret += scale * (text.p[*at] - '0');
        (*at)++;
    }
    return *at == start ? ERR_INVALID : 0;
}

static int read_offset(struct str text, size_t *at, usec *ret)
{
    *ret = 0;
    if (*at < text.n && (text.p[*at] == 'Z' || text.p[*at] == 'z')) {
        (*at)++;
        return 0;
    }
    if (*at >= text.n || (text.p[*at] != '+' && text.p[*at] != '-')) {
        return ERR_INVALID;
    }
    int sign = text.p[(*at)++] == '-' ? -1 : 1;
    int hours;
    int minutes;
    if (read_digits(text, at, 2, &hours) < 0 || read_char(text, at, ':') < 0 ||
        read_digits(text, at, 2, &minutes) < 0 || hours > 23 || minutes > 59) {
        return ERR_INVALID;
    }
    *ret = sign * (hours * USEC_PER_HOUR + minutes * USEC_PER_MINUTE);
    return 0;
}

int time_parse(struct str text, usec *ret_wall)
{
    size_t at = 0;
    struct tm tm = {0};
    if (read_digits(text, &at, 4, &tm.tm_year) < 0 || read_char(text, &at, '-') < 0 ||
        read_digits(text, &at, 2, &tm.tm_mon) < 0 || read_char(text, &at, '-') < 0 ||
        read_digits(text, &at, 2, &tm.tm_mday) < 0 || at >= text.n ||
        (text.p[at] != 'T' && text.p[at] != 't')) {
        return ERR_INVALID;
    }
    at++;
    if (read_digits(text, &at, 2, &tm.tm_hour) < 0 || read_char(text, &at, ':') < 0 ||
        read_digits(text, &at, 2, &tm.tm_min) < 0 || read_char(text, &at, ':') < 0 ||
        read_digits(text, &at, 2, &tm.tm_sec) < 0) {
        return ERR_INVALID;
    }
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60) {
        return ERR_INVALID;
    }
    usec fraction;
    usec offset;
    if (read_fraction(text, &at, &fraction) < 0 || read_offset(text, &at, &offset) < 0 ||
        at != text.n) {
        return ERR_INVALID;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret_wall = (usec)timegm(&tm) * USEC_PER_SEC + fraction - offset;
    return 0;
}

/* Two units, the second left out when zero or when the rule says so. */
static void two_units(int64_t big, char big_unit, int64_t small, char small_unit, char *out)
{
    if (small == 0) {
        (void)snprintf(out, TIME_TEXT_MAX, "%" PRId64 "%c", big, big_unit);
    } else {
        (void)snprintf(out, TIME_TEXT_MAX, "%" PRId64 "%c%" PRId64 "%c", big, big_unit, small,
                       small_unit);
    }
}

void span_format_human(usec span, char out[static TIME_TEXT_MAX])
{
    const int64_t minute = 60;
    const int64_t hour = 3600;
    const int64_t day = 86400;
    const int64_t year = 365 * day;
    if (span < -USEC_PER_SEC) {
        (void)snprintf(out, TIME_TEXT_MAX, "<invalid>");
        return;
    }
    int64_t s = span < 0 ? 0 : span / USEC_PER_SEC;
    if (s < 2 * minute) {
        two_units(s, 's', 0, 0, out);
    } else if (s < 10 * minute) {
        two_units(s / minute, 'm', s % minute, 's', out);
    } else if (s < 3 * hour) {
        two_units(s / minute, 'm', 0, 0, out);
    } else if (s < 8 * hour) {
        two_units(s / hour, 'h', s % hour / minute, 'm', out);
    } else if (s < 2 * day) {
        two_units(s / hour, 'h', 0, 0, out);
    } else if (s < 8 * day) {
        two_units(s / day, 'd', s % day / hour, 'h', out);
    } else if (s < 2 * (int64_t)year) {
        two_units(s / day, 'd', 0, 0, out);
    } else if (s < 8 * (int64_t)year) {
        two_units(s / year, 'y', s % year / day, 'd', out);
    } else {
        two_units(s / year, 'y', 0, 0, out);
    }
}

/* Writes v / scale with the fraction's trailing zeros off. */
static int decimal(char *out, size_t size, int64_t v, int64_t scale)
{
    int n = snprintf(out, size, "%" PRId64, v / scale);
    int64_t rest = v % scale;
    if (rest == 0) {
        return n;
    }
    out[n++] = '.';
    while (rest != 0 && (size_t)n + 1 < size) {
        scale /= 10;
        out[n++] = (char)('0' + rest / scale);
        rest %= scale;
    }
    out[n] = '\0';
    return n;
}

void span_format_go(usec span, char out[static TIME_TEXT_MAX])
{
    int64_t v = span < 0 ? -span : span;
    size_t at = 0;
    if (span < 0) {
        out[at++] = '-';
    }
    if (v < 1000) {
        (void)snprintf(out + at, TIME_TEXT_MAX - at, v == 0 ? "%" PRId64 "s" : "%" PRId64 "µs", v);
        return;
    }
    if (v < USEC_PER_SEC) {
        int n = decimal(out + at, TIME_TEXT_MAX - at - 3, v, 1000);
        (void)snprintf(out + at + (size_t)n, TIME_TEXT_MAX - at - (size_t)n, "ms");
        return;
    }
    int64_t hours = v / (3600 * USEC_PER_SEC);
    int64_t minutes = v / (60 * USEC_PER_SEC) % 60;
    if (hours != 0) {
        at += (size_t)snprintf(out + at, TIME_TEXT_MAX - at, "%" PRId64 "h", hours);
    }
    if (hours != 0 || minutes != 0) {
        at += (size_t)snprintf(out + at, TIME_TEXT_MAX - at, "%" PRId64 "m", minutes);
    }
    int n = decimal(out + at, TIME_TEXT_MAX - at - 2, v % (60 * USEC_PER_SEC), USEC_PER_SEC);
    (void)snprintf(out + at + (size_t)n, TIME_TEXT_MAX - at - (size_t)n, "s");
}

static int read_unit(struct str text, size_t *at, usec *ret)
{
    static const struct {
        struct str name;
        usec span;
    } units[] = {
  /* longest match first */
        {{"ms", 2}, 1000               },
        {{"us", 2}, 1                  },
        {{"h", 1},  3600 * USEC_PER_SEC},
        {{"m", 1},  60 * USEC_PER_SEC  },
        {{"s", 1},  USEC_PER_SEC       },
    };
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (str_starts(str_sub(text, *at, text.n), units[i].name)) {
            *at += units[i].name.n;
            *ret = units[i].span;
            return 0;
        }
    }
    return ERR_INVALID;
}

int span_parse_go(struct str text, usec *ret)
{
    usec total = 0;
    size_t at = 0;
    bool negative = text.n > 0 && text.p[0] == '-';
    at += negative ? 1 : 0;
    if (at == text.n) {
        return ERR_INVALID;
    }
    while (at < text.n) {
        size_t start = at;
        int64_t whole = 0;
        while (at < text.n && text.p[at] >= '0' && text.p[at] <= '9' && at - start < 12) {
            whole = whole * 10 + (text.p[at++] - '0');
        }
        bool has_digits = at > start;
        usec fraction;
        usec unit;
        if (read_fraction(text, &at, &fraction) < 0 || (!has_digits && fraction == 0) ||
            read_unit(text, &at, &unit) < 0 || whole > INT64_MAX / 4 / unit) {
            return ERR_INVALID;
        }
        total += whole * unit + fraction * unit / USEC_PER_SEC;
        if (total > INT64_MAX / 4) {
            return ERR_INVALID;
        }
    }
    *ret = negative ? -total : total;
    return 0;
}
