// SPDX-License-Identifier: Apache-2.0
//
// The resolve table of yaml.v2: YAML 1.1 booleans, Go's integer prefixes, floats without them.
#include "data/yaml_scalar.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

enum { NUMBER_LEN_MAX = 400 };

enum word { WORD_NULL, WORD_TRUE, WORD_FALSE, WORD_INFINITE };

static const struct {
    const char *text;
    enum word word;
} words[] = {
    {"~",     WORD_NULL    },
    {"null",  WORD_NULL    },
    {"Null",  WORD_NULL    },
    {"NULL",  WORD_NULL    },
    {"y",     WORD_TRUE    },
    {"Y",     WORD_TRUE    },
    {"yes",   WORD_TRUE    },
    {"Yes",   WORD_TRUE    },
    {"YES",   WORD_TRUE    },
    {"true",  WORD_TRUE    },
    {"True",  WORD_TRUE    },
    {"TRUE",  WORD_TRUE    },
    {"on",    WORD_TRUE    },
    {"On",    WORD_TRUE    },
    {"ON",    WORD_TRUE    },
    {"n",     WORD_FALSE   },
    {"N",     WORD_FALSE   },
    {"no",    WORD_FALSE   },
    {"No",    WORD_FALSE   },
    {"NO",    WORD_FALSE   },
    {"false", WORD_FALSE   },
    {"False", WORD_FALSE   },
    {"FALSE", WORD_FALSE   },
    {"off",   WORD_FALSE   },
    {"Off",   WORD_FALSE   },
    {"OFF",   WORD_FALSE   },
    {".nan",  WORD_INFINITE},
    {".NaN",  WORD_INFINITE},
    {".NAN",  WORD_INFINITE},
    {".inf",  WORD_INFINITE},
    {".Inf",  WORD_INFINITE},
    {".INF",  WORD_INFINITE},
    {"+.inf", WORD_INFINITE},
    {"+.Inf", WORD_INFINITE},
    {"+.INF", WORD_INFINITE},
    {"-.inf", WORD_INFINITE},
    {"-.Inf", WORD_INFINITE},
    {"-.INF", WORD_INFINITE},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int digit_of(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : 99;
}

/* strconv.ParseInt(s, 0, 64), and ParseUint for what is larger: a double then. */
static bool read_int(const char *s, struct val *ret)
{
    bool is_negative = *s == '-';
    bool is_signed = *s == '-' || *s == '+';
    s += is_signed;
    int base = 10;
    if (s[0] == '0' && s[1] != '\0') {
        char mark = (char)(s[1] | 0x20);
        base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
        s += mark == 'x' || mark == 'b' || mark == 'o' ? 2 : 1;
    }
    uint64_t v = 0;
    if (*s == '\0') {
        return false;
    }
    for (; *s != '\0'; s++) {
        int digit = digit_of(*s);
        if (digit >= base || v > (UINT64_MAX - (uint64_t)digit) / (uint64_t)base) {
            return false;
        }
        v = v * (uint64_t)base + (uint64_t)digit;
    }
    if (v <= (uint64_t)INT64_MAX + (is_negative ? 1 : 0)) {
        *ret = val_int(is_negative ? (int64_t)(0 - v) : (int64_t)v);
        return true;
    }
    if (!is_signed) {
        *ret = val_double((double)v);
    }
    return !is_signed;
}

/* [-+]? ( .digits | digits [.digits?] ) ( [eE] [-+]? digits )? */
static bool is_float(const char *s)
{
    s += *s == '-' || *s == '+';
    size_t whole = strspn(s, "0123456789");
    s += whole;
    size_t fraction = 0;
    if (*s == '.') {
        s++;
        fraction = strspn(s, "0123456789");
        s += fraction;
    }
    if (whole + fraction == 0) {
        return false;
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t exponent = strspn(s, "0123456789");
        if (exponent == 0) {
            return false;
        }
        s += exponent;
    }
    return *s == '\0';
}

static bool read_number(struct str text, struct val *ret)
{
    char plain[NUMBER_LEN_MAX];
    size_t n = 0;
    if (text.n >= sizeof plain || memchr(text.p, '\0', text.n) != NULL) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '_' || text.p[0] == '.') {
            plain[n++] = text.p[i];
        }
    }
    plain[n] = '\0';
    if (read_int(plain, ret)) {
        return true;
    }
    double d = is_float(plain) ? strtod(plain, NULL) : INFINITY;
    if (isinf(d)) {
        return false;
    }
    /* The way to JSON and back makes an integer of a whole double. */
    bool is_whole = d == floor(d) && d >= -0x1p53 && d <= 0x1p53;
    *ret = is_whole ? val_int((int64_t)d) : val_double(d);
    return true;
}

struct val yaml_plain(struct str text, bool *ret_is_finite)
{
    *ret_is_finite = true;
    if (text.n == 0) {
        return val_null();
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_eq(text, str_of(words[i].text))) {
            *ret_is_finite = words[i].word != WORD_INFINITE;
            return words[i].word == WORD_TRUE || words[i].word == WORD_FALSE
                       ? val_bool(words[i].word == WORD_TRUE)
                       : val_null();
        }
    }
    struct val v;
    char c = text.p[0];
    bool may_be_number = is_digit(c) || c == '-' || c == '+' || c == '.';
    return may_be_number && read_number(text, &v) ? v : val_str(text);
}
