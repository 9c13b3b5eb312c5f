// SPDX-License-Identifier: Apache-2.0
//
// See dns.h. Nothing here allocates or touches a socket.
#include "dns.h"

#include <string.h>
#include <strings.h>

enum { HEADER_BYTES = 12, LABEL_MAX = 63, POINTERS_MAX = 32, UDP_BYTES = 4096 };

struct cursor {
    const uint8_t *p;
    size_t n, at;
    bool is_bad;
};

static unsigned get(struct cursor *c, int bytes)
{
    unsigned value = 0;
    for (int i = 0; i < bytes; i++) {
        if (c->at >= c->n) {
            c->is_bad = true;
            return 0;
        }
        value = value << 8 | c->p[c->at++];
    }
    return value;
}

static uint8_t *put16(uint8_t *p, unsigned value)
{
    *p++ = (uint8_t)(value >> 8);
    *p++ = (uint8_t)value;
    return p;
}

size_t dns_question_write(uint8_t *out, uint16_t id, const char *name, uint16_t type)
{
    uint8_t *p = out;
    p = put16(p, id);
    p = put16(p, 0x0100); /* recursion desired */
    p = put16(p, 1);
    p = put16(p, 0);
    p = put16(p, 0);
    p = put16(p, 1); /* one additional record: EDNS, below */
    size_t total = 0;
    while (*name != '\0') {
        size_t label = strcspn(name, ".");
        total += label + 1;
        if (label == 0 || label > LABEL_MAX || total > DNS_NAME_MAX - 2) {
            return 0;
        }
        *p++ = (uint8_t)label;
        memcpy(p, name, label);
        p += label;
        name += label + (name[label] == '.');
    }
    *p++ = 0;
    p = put16(p, type);
    p = put16(p, 1);
    *p++ = 0;
    p = put16(p, 41); /* OPT: larger answers over UDP (RFC 6891) */
    p = put16(p, UDP_BYTES);
    memset(p, 0, 6);
    return (size_t)(p + 6 - out);
}

static void get_name(struct cursor *c, char *ret)
{
    struct cursor walk = *c;
    size_t len = 0;
    bool has_jumped = false;
    ret[0] = '\0';
    for (int pointers = 0; !walk.is_bad;) {
        unsigned label = get(&walk, 1);
        if (walk.is_bad || label == 0) {
            break;
        }
        if ((label & 0xc0) == 0xc0) {
            unsigned to = (label & 0x3f) << 8 | get(&walk, 1);
            if (!has_jumped) {
                c->at = walk.at;
            }
            has_jumped = true;
            walk.at = to;
            walk.is_bad = walk.is_bad || ++pointers > POINTERS_MAX;
            continue;
        }
        if (label > LABEL_MAX || walk.n - walk.at < label || len + label + 2 > DNS_NAME_MAX ||
            memchr(walk.p + walk.at, '\0', label) != NULL) {
            walk.is_bad = true;
            break;
        }
        if (len > 0) {
            ret[len++] = '.';
        }
        memcpy(ret + len, walk.p + walk.at, label);
        len += label;
        ret[len] = '\0';
        walk.at += label;
    }
    if (!has_jumped) {
        c->at = walk.at;
    }
    c->is_bad = c->is_bad || walk.is_bad;
}

/* True when the record is one that comes through. */
static bool get_record(struct cursor *c, struct dns_record *ret)
{
    *ret = (struct dns_record){0};
    get_name(c, ret->owner);
    ret->type = (uint16_t)get(c, 2);
    (void)get(c, 2); /* class */
    (void)get(c, 4); /* time to live */
    size_t len = get(c, 2);
    if (c->is_bad || c->n - c->at < len) {
        c->is_bad = true;
        return false;
    }
    size_t end = c->at + len;
    bool is_wanted = false;
    if (ret->type == DNS_TYPE_A && len == 4) {
        memcpy(ret->address, c->p + c->at, 4);
        is_wanted = true;
    } else if (ret->type == DNS_TYPE_SRV) {
        (void)get(c, 4); /* priority, weight */
        ret->port = (uint16_t)get(c, 2);
        get_name(c, ret->target);
        is_wanted = !c->is_bad && c->at <= end;
    }
    c->at = end;
    return is_wanted && !c->is_bad;
}

enum dns_outcome dns_answer_read(const uint8_t *p, size_t n, uint16_t id, uint16_t type,
                                 struct dns_record *records, int max, int *ret_count)
{
    struct cursor c = {.p = p, .n = n};
    char asked[DNS_NAME_MAX];
    unsigned got_id = get(&c, 2), flags = get(&c, 2), questions = get(&c, 2);
    unsigned answers = get(&c, 2), authority = get(&c, 2), additional = get(&c, 2);
    if (c.is_bad || got_id != id || (flags & 0x8000) == 0 || questions != 1) {
        return DNS_NONSENSE;
    }
    get_name(&c, asked);
    (void)get(&c, 4);
    if (flags & 0x0200) {
        return DNS_TRUNCATED;
    }
    if ((flags & 0xf) == 3) {
        return DNS_NO_NAME;
    }
    if ((flags & 0xf) != 0) {
        return DNS_FAILED;
    }
    int count = 0;
    bool has_type = false;
    for (unsigned i = 0; i < answers + authority + additional && !c.is_bad && count < max; i++) {
        bool is_answer = i < answers || i >= answers + authority;
        if (get_record(&c, &records[count]) && is_answer) {
            has_type = has_type || (i < answers && records[count].type == type);
            count++;
        }
    }
    if (c.is_bad) {
        return DNS_NONSENSE;
    }
    *ret_count = count;
    return has_type ? DNS_OK : DNS_NO_NAME;
}
