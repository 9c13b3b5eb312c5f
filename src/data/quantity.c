// SPDX-License-Identifier: Apache-2.0
//
// Quantities as apimachinery's resource.Quantity reads, caps and prints them. Digits beyond what
// 128 bits hold and fractions below 1n round away from zero; magnitudes over 2^63-1 are capped.
#include "data/quantity.h"

#include "base/mem.h"

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

enum { DIGITS_MAX = 28, BINARY_DIGITS_MAX = 19, EXPONENT_MAX = 1000, TEXT_MAX = 48 };

#define NANO         ((int128)1000000000)
#define QUANTITY_MAX ((int128)INT64_MAX * NANO)

static const struct suffix {
    const char *text;
    int binary; /* power of two */
    int decimal;
    enum quantity_format format;
} suffixes[] = {
    {"",   0,  0,  QUANTITY_DECIMAL_SI},
    {"n",  0,  -9, QUANTITY_DECIMAL_SI},
    {"u",  0,  -6, QUANTITY_DECIMAL_SI},
    {"m",  0,  -3, QUANTITY_DECIMAL_SI},
    {"k",  0,  3,  QUANTITY_DECIMAL_SI},
    {"M",  0,  6,  QUANTITY_DECIMAL_SI},
    {"G",  0,  9,  QUANTITY_DECIMAL_SI},
    {"T",  0,  12, QUANTITY_DECIMAL_SI},
    {"P",  0,  15, QUANTITY_DECIMAL_SI},
    {"E",  0,  18, QUANTITY_DECIMAL_SI},
    {"Ki", 10, 0,  QUANTITY_BINARY_SI },
    {"Mi", 20, 0,  QUANTITY_BINARY_SI },
    {"Gi", 30, 0,  QUANTITY_BINARY_SI },
    {"Ti", 40, 0,  QUANTITY_BINARY_SI },
    {"Pi", 50, 0,  QUANTITY_BINARY_SI },
    {"Ei", 60, 0,  QUANTITY_BINARY_SI },
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The part after the number. Exponents beyond EXPONENT_MAX are as good as that. */
static bool suffix_find(struct str text, struct suffix *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (str_eq(text, str_of(suffixes[i].text))) {
            *ret = suffixes[i];
            return true;
        }
    }
    if (text.n < 2 || (text.p[0] != 'e' && text.p[0] != 'E')) {
        return false;
    }
    struct str number = str_sub(text, text.p[1] == '+' ? 2 : 1, text.n);
    int64_t exponent;
    if ((text.p[1] == '+' && !is_digit(number.n > 0 ? number.p[0] : 'x')) ||
        str_to_i64(number, &exponent) < 0) {
        return false;
    }
    exponent = exponent > EXPONENT_MAX ? EXPONENT_MAX : exponent;
    exponent = exponent < -EXPONENT_MAX ? -EXPONENT_MAX : exponent;
    *ret = (struct suffix){"", 0, (int)exponent, QUANTITY_DECIMAL_EXPONENT};
    return true;
}

/* The digits of a number: value = digits * 10^exponent, plus something less than one when is_more.
 */
struct number {
    uint128 digits;
    int64_t exponent;
    bool is_more;
};

static struct number number_of(struct str text, int digits_max)
{
    struct number number = {0};
    int kept = 0;
    bool is_fraction = false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '.') {
            is_fraction = true;
            continue;
        }
        unsigned digit = (unsigned)(text.p[i] - '0');
        bool has_room = kept < digits_max;
        if (has_room) {
            number.digits = number.digits * 10 + digit;
            kept += number.digits != 0;
        } else {
            number.is_more = number.is_more || digit != 0;
        }
        number.exponent += has_room == is_fraction ? (is_fraction ? -1 : 1) : 0;
    }
    return number;
}

/* Nano units of number * 10^decimal * 2^binary, rounded up and capped. */
static int128 scale(struct number number, const struct suffix *suffix)
{
    uint128 v = number.digits << suffix->binary;
    int64_t power = number.exponent + suffix->decimal + 9;
    const uint128 max = (uint128)QUANTITY_MAX;
    if (v == 0) {
        return number.is_more ? 1 : 0;
    }
    for (; power > 0 && v <= max; power--) {
        v *= 10;
    }
    bool is_more = number.is_more;
    for (; power < 0 && v != 0; power++) {
        is_more = is_more || v % 10 != 0;
        v /= 10;
    }
    v += is_more ? 1 : 0;
    return v > max ? QUANTITY_MAX : (int128)v;
}

int quantity_parse(struct str text, struct quantity *ret, struct err *err)
{
    bool is_negative = text.n > 0 && text.p[0] == '-';
    size_t start = text.n > 0 && (text.p[0] == '-' || text.p[0] == '+') ? 1 : 0;
    size_t end = start;
    size_t digits = 0;
    size_t dots = 0;
    for (; end < text.n && (is_digit(text.p[end]) || text.p[end] == '.'); end++) {
        digits += is_digit(text.p[end]);
        dots += text.p[end] == '.';
    }
    struct suffix suffix;
    if (digits == 0 || dots > 1 || !suffix_find(str_sub(text, end, text.n), &suffix)) {
        return err_set(err, ERR_INVALID,
                       "quantities must match the regular expression "
                       "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    }
    int digits_max = suffix.binary == 0 ? DIGITS_MAX : BINARY_DIGITS_MAX;
    int128 nano = scale(number_of(str_sub(text, start, end), digits_max), &suffix);
    bool is_small = nano > 0 && nano < NANO && suffix.format == QUANTITY_BINARY_SI;
    *ret = (struct quantity){.nano = is_negative ? -nano : nano,
                             .format = is_small ? QUANTITY_DECIMAL_SI : suffix.format};
    return 0;
}

/* Suffix for a power of ten that is a multiple of three (or of two, a multiple of ten). */
static const char *suffix_text(int binary, int decimal)
{
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (suffixes[i].binary == binary && suffixes[i].decimal == decimal) {
            return suffixes[i].text;
        }
    }
    return "";
}

struct str quantity_format(struct arena *arena, struct quantity q)
{
    if (q.nano == 0) {
        return S("0");
    }
    bool is_negative = q.nano < 0;
    uint128 v = is_negative ? 0 - (uint128)q.nano : (uint128)q.nano;
    const uint128 one = (uint128)NANO;
    /* Upstream prints a binary value that 1024 does not divide without a suffix, so the next reader
     * takes it for a decimal one: that is what becomes of it once stored. */
    bool is_binary = q.format == QUANTITY_BINARY_SI && v != 0 && v % (1024 * one) == 0;
    int binary = 0;
    int decimal = is_binary ? 0 : -9;
    if (is_binary) {
        for (v /= one; v % 1024 == 0 && binary < 60; v /= 1024) {
            binary += 10;
        }
    } else {
        for (; v % 1000 == 0 && decimal < 18; v /= 1000) {
            decimal += 3;
        }
    }
    char digits[TEXT_MAX];
    size_t at = sizeof digits;
    for (; v != 0; v /= 10) {
        digits[--at] = (char)('0' + (int)(v % 10));
    }
    const char *sign = is_negative ? "-" : "";
    struct str number = {digits + at, sizeof digits - at};
    if (q.format == QUANTITY_DECIMAL_EXPONENT && decimal != 0) {
        return arena_fmt(arena, "%s" STR_FMT "e%d", sign, STR_ARG(number), decimal);
    }
    return arena_fmt(arena, "%s" STR_FMT "%s", sign, STR_ARG(number), suffix_text(binary, decimal));
}

int quantity_cmp(struct quantity a, struct quantity b)
{
    return a.nano < b.nano ? -1 : a.nano > b.nano ? 1 : 0;
}

struct quantity quantity_add(struct quantity a, struct quantity b)
{
    int128 sum = a.nano + b.nano; /* both are capped far below 2^127 */
    sum = sum > QUANTITY_MAX ? QUANTITY_MAX : sum < -QUANTITY_MAX ? -QUANTITY_MAX : sum;
    return (struct quantity){.nano = sum, .format = a.nano == 0 ? b.format : a.format};
}

/* Rounds away from zero, as upstream's Value() and MilliValue(). */
static int64_t divide(int128 nano, int128 by)
{
    int128 v = nano / by;
    v += nano % by > 0 ? 1 : nano % by < 0 ? -1 : 0;
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

int64_t quantity_units(struct quantity q)
{
    return divide(q.nano, NANO);
}

int64_t quantity_millis(struct quantity q)
{
    return divide(q.nano, NANO / 1000);
}
