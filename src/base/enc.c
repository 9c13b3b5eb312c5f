// SPDX-License-Identifier: Apache-2.0
#include "base/enc.h"

static const char alphabet_std[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char hex_digits[] = "0123456789abcdef";

static int encode64(struct buf *out, struct str in, const char *alphabet, bool pad)
{
    char *room = buf_room(out, (in.n + 2) / 3 * 4);
    if (room == NULL) {
        return ERR_LIMIT;
    }
    size_t at = 0;
    for (size_t i = 0; i < in.n; i += 3) {
        size_t left = in.n - i;
        uint32_t v = (uint32_t)(unsigned char)in.p[i] << 16;
        v |= left > 1 ? (uint32_t)(unsigned char)in.p[i + 1] << 8 : 0;
        v |= left > 2 ? (uint32_t)(unsigned char)in.p[i + 2] : 0;
        size_t chars = left >= 3 ? 4 : left + 1;
        for (size_t k = 0; k < 4; k++) {
            if (k < chars) {
                room[at++] = alphabet[(v >> (18 - 6 * k)) & 63];
            } else if (pad) {
                room[at++] = '=';
            }
        }
    }
    buf_grew(out, at);
    return 0;
}

int base64_encode(struct buf *out, struct str in)
{
    return encode64(out, in, alphabet_std, true);
}

int base64url_encode(struct buf *out, struct str in)
{
    return encode64(out, in, alphabet_url, false);
}

int hex_encode(struct buf *out, struct str in)
{
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        char two[2] = {hex_digits[c >> 4], hex_digits[c & 15]};
        if (buf_add(out, (struct str){two, 2}) < 0) {
            return ERR_LIMIT;
        }
    }
    return 0;
}

static int digit64(char c, const char *alphabet)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == alphabet[62] ? 62 : c == alphabet[63] ? 63 : -1;
}

/* Writes the 1 to 3 bytes of a group of `chars` digits; the bits left over must be zero. */
static int flush64(struct buf *out, uint32_t v, size_t chars)
{
    char bytes[3];
    v <<= 6 * (4 - chars);
    bytes[0] = (char)(v >> 16);
    bytes[1] = (char)(v >> 8);
    bytes[2] = (char)v;
    if (chars == 1 || (chars == 2 && (v & 0xffff) != 0) || (chars == 3 && (v & 0xff) != 0)) {
        return ERR_SYNTAX;
    }
    return buf_add(out, (struct str){bytes, chars - 1});
}

static int decode64(struct buf *out, struct str in, const char *alphabet, bool pad)
{
    uint32_t v = 0;
    size_t chars = 0;
    size_t pads = 0;
    for (size_t i = 0; i < in.n; i++) {
        if (pad && (in.p[i] == '\r' || in.p[i] == '\n')) {
            continue;
        }
        if (pad && in.p[i] == '=') {
            pads++;
            continue;
        }
        int d = digit64(in.p[i], alphabet);
        if (d < 0 || pads != 0) {
            return ERR_SYNTAX;
        }
        v = v << 6 | (uint32_t)d;
        if (++chars == 4) {
            int r = flush64(out, v, 4);
            if (r < 0) {
                return r;
            }
            v = 0;
            chars = 0;
        }
    }
    if (pad && pads != (chars == 0 ? 0 : 4 - chars)) {
        return ERR_SYNTAX;
    }
    return chars == 0 ? 0 : flush64(out, v, chars);
}

int base64_decode(struct buf *out, struct str in)
{
    return decode64(out, in, alphabet_std, true);
}

int base64url_decode(struct buf *out, struct str in)
{
    return decode64(out, in, alphabet_url, false);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int hex_byte(struct str s, size_t at)
{
    int high = at < s.n ? hex_digit(s.p[at]) : -1;
    int low = at + 1 < s.n ? hex_digit(s.p[at + 1]) : -1;
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

int hex_decode(struct buf *out, struct str in)
{
    for (size_t i = 0; i < in.n; i += 2) {
        int b = hex_byte(in, i);
        if (b < 0) {
            return ERR_SYNTAX;
        }
        if (buf_addc(out, (char)b) < 0) {
            return ERR_LIMIT;
        }
    }
    return 0;
}

int percent_decode(struct buf *out, struct str in, bool is_query)
{
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%') {
            int b = hex_byte(in, i + 1);
            if (b < 0) {
                return ERR_SYNTAX;
            }
            c = (char)b;
            i += 2;
        } else if (c == '+' && is_query) {
            c = ' ';
        }
        if (buf_addc(out, c) < 0) {
            return ERR_LIMIT;
        }
    }
    return 0;
}

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int percent_encode(struct buf *out, struct str in)
{
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        char three[3] = {'%', (char)(hex_digits[c >> 4] - (c >> 4 > 9 ? 32 : 0)),
                         (char)(hex_digits[c & 15] - ((c & 15) > 9 ? 32 : 0))};
        bool plain = is_unreserved(in.p[i]);
        if (buf_add(out, plain ? (struct str){in.p + i, 1} : (struct str){three, 3}) < 0) {
            return ERR_LIMIT;
        }
    }
    return 0;
}

/* Length of the UTF-8 sequence at s.p, or 0 when there is none (table 3-7 of Unicode). */
static size_t utf8_sequence(struct str s)
{
    unsigned char a = (unsigned char)s.p[0];
    if (a < 0x80) {
        return 1;
    }
    size_t len = a >= 0xc2 && a <= 0xdf   ? 2
                 : a >= 0xe0 && a <= 0xef ? 3
                 : a >= 0xf0 && a <= 0xf4 ? 4
                                          : 0;
    if (len == 0 || s.n < len) {
        return 0;
    }
    unsigned char b = (unsigned char)s.p[1];
    unsigned char low = a == 0xe0 ? 0xa0 : a == 0xf0 ? 0x90 : 0x80;
    unsigned char high = a == 0xed ? 0x9f : a == 0xf4 ? 0x8f : 0xbf;
    if (b < low || b > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if (((unsigned char)s.p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

size_t utf8_valid_prefix(struct str s)
{
    size_t at = 0;
    while (at < s.n) {
        size_t len = utf8_sequence(str_sub(s, at, s.n));
        if (len == 0) {
            break;
        }
        at += len;
    }
    return at;
}

int utf8_put(struct buf *out, uint32_t c)
{
    char b[4];
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        c = 0xfffd;
    }
    if (c < 0x80) {
        return buf_addc(out, (char)c);
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--) {
        b[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    b[0] = (char)(lead[len] | c);
    return buf_add(out, (struct str){b, len});
}
