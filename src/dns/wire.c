// SPDX-License-Identifier: Apache-2.0
//
// Reading never trusts a length: `take` is the only way to bytes of a message. Writing never goes
// over the limit: `put` is the only way out.
#include "dns/wire.h"

enum { POINTER = 0xc0, POINTER_MAX = 0x3fff, QUESTION_NAME_AT = DNS_HEADER_BYTES };

static bool take_u16(struct str m, size_t *at, uint16_t *ret)
{
    if (m.n < 2 || *at > m.n - 2) {
        return false;
    }
    const uint8_t *p = (const uint8_t *)m.p + *at;
    *ret = (uint16_t)(p[0] << 8 | p[1]);
    *at += 2;
    return true;
}

static bool take_u32(struct str m, size_t *at, uint32_t *ret)
{
    uint16_t high;
    uint16_t low;
    if (!take_u16(m, at, &high) || !take_u16(m, at, &low)) {
        return false;
    }
    *ret = (uint32_t)high << 16 | low;
    return true;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

struct str dns_label(const struct dns_name *name, size_t i)
{
    if (i >= name->labels) {
        return (struct str){NULL, 0};
    }
    const uint8_t *p = &name->bytes[name->at[i]];
    return (struct str){(const char *)p + 1, p[0]};
}

/* Appends one label; false when the name gets too long (255 bytes with the final 0). */
static bool label_add(struct dns_name *name, const uint8_t *bytes, size_t n)
{
    if (n == 0 || n > DNS_LABEL_BYTES_MAX || name->len + n + 2 > DNS_NAME_BYTES_MAX) {
        return false;
    }
    name->at[name->labels++] = name->len;
    name->bytes[name->len++] = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        name->bytes[name->len++] = lower(bytes[i]);
    }
    return true;
}

int dns_name_parse(struct dns_name *ret, struct str text)
{
    ret->len = ret->labels = 0;
    if (text.n > 0 && text.p[text.n - 1] == '.') {
        text.n--;
    }
    while (text.n > 0) {
        struct str label = str_cut(&text, '.');
        if (!label_add(ret, (const uint8_t *)label.p, label.n) || (text.p != NULL && text.n == 0)) {
            return ERR_INVALID;
        }
    }
    ret->bytes[ret->len++] = 0;
    return 0;
}

int dns_name_read(struct str m, size_t *at, struct dns_name *ret)
{
    size_t here = *at;
    size_t lowest = here; /* pointers go strictly backwards, so they end */
    bool has_jumped = false;
    ret->len = ret->labels = 0;
    for (int pointers = 0;;) {
        if (here >= m.n) {
            return ERR_SYNTAX;
        }
        size_t n = (uint8_t)m.p[here];
        if ((n & POINTER) == POINTER) {
            uint16_t to;
            size_t after = here;
            if (!take_u16(m, &after, &to)) {
                return ERR_SYNTAX;
            }
            if (!has_jumped) {
                *at = after;
                has_jumped = true;
            }
            here = to & POINTER_MAX;
            if (here >= lowest || ++pointers > DNS_POINTERS_MAX) {
                return ERR_SYNTAX;
            }
            lowest = here;
            continue;
        }
        if (n == 0) {
            break;
        }
        if (n > DNS_LABEL_BYTES_MAX || n > m.n - here - 1 ||
            !label_add(ret, (const uint8_t *)m.p + here + 1, n)) {
            return ERR_SYNTAX;
        }
        here += n + 1;
    }
    ret->bytes[ret->len++] = 0;
    if (!has_jumped) {
        *at = here + 1;
    }
    return 0;
}

int dns_record_read(struct str m, size_t *at, struct dns_record *ret)
{
    uint16_t bytes;
    if (dns_name_read(m, at, &ret->owner) < 0 || !take_u16(m, at, &ret->type) ||
        !take_u16(m, at, &ret->class) || !take_u32(m, at, &ret->ttl) || !take_u16(m, at, &bytes) ||
        bytes > m.n - *at) {
        return ERR_SYNTAX;
    }
    ret->data_at = *at;
    ret->data_bytes = bytes;
    *at += bytes;
    return 0;
}

/* The records behind the question: only OPT says anything to us. */
static bool read_edns(struct str m, size_t at, const uint16_t counts[static DNS_SECTIONS],
                      struct dns_query *ret)
{
    for (int section = DNS_ANSWER; section < DNS_SECTIONS; section++) {
        for (uint32_t i = 0; i < counts[section]; i++) {
            struct dns_record record;
            if (dns_record_read(m, &at, &record) < 0) {
                return false;
            }
            if (section != DNS_ADDITIONAL || record.type != DNS_OPT) {
                continue;
            }
            if (ret->has_edns || record.owner.labels != 0) {
                return false;
            }
            ret->has_edns = true;
            ret->udp_bytes = record.class;
            ret->edns_version = (uint8_t)(record.ttl >> 16);
            ret->is_dnssec_ok = (record.ttl & 0x8000) != 0;
        }
    }
    return true;
}

int dns_query_read(struct str m, struct dns_query *ret)
{
    uint16_t counts[DNS_SECTIONS];
    size_t at = 0;
    ret->question_end = 0;
    ret->has_edns = ret->is_dnssec_ok = false;
    ret->name.len = ret->name.labels = 0;
    if (!take_u16(m, &at, &ret->id) || !take_u16(m, &at, &ret->flags)) {
        return -1;
    }
    for (int i = 0; i < DNS_SECTIONS; i++) {
        if (!take_u16(m, &at, &counts[i])) {
            return -1;
        }
    }
    if ((ret->flags & DNS_FLAG_QR) != 0) {
        return -1;
    }
    if ((ret->flags & DNS_OPCODE_MASK) != 0) {
        return DNS_NOTIMP;
    }
    /* A pointer in the first name could only lead into the header: read_name refuses it, since the
     * answer repeats these very bytes. */
    for (size_t i = at; i < m.n && m.p[i] != 0; i += (size_t)(uint8_t)m.p[i] + 1) {
        if ((uint8_t)m.p[i] > DNS_LABEL_BYTES_MAX) {
            return DNS_FORMERR;
        }
    }
    if (counts[DNS_QUESTION] != 1 || dns_name_read(m, &at, &ret->name) < 0 ||
        !take_u16(m, &at, &ret->type) || !take_u16(m, &at, &ret->class)) {
        return DNS_FORMERR;
    }
    if (!read_edns(m, at, counts, ret)) {
        ret->has_edns = false;
        return DNS_FORMERR;
    }
    ret->question_end = at;
    return ret->has_edns && ret->edns_version != 0 ? DNS_BADVERS : DNS_NOERROR;
}

static void put(struct dns_writer *w, const void *bytes, size_t n)
{
    if (w->is_over || n > w->limit - w->n) {
        w->is_over = true;
        return;
    }
    memcpy(w->p + w->n, bytes, n);
    w->n += n;
}

void dns_put_bytes(struct dns_writer *w, struct str bytes)
{
    if (bytes.n > 0) {
        put(w, bytes.p, bytes.n);
    }
}

void dns_put_u16(struct dns_writer *w, uint16_t value)
{
    const uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    put(w, bytes, sizeof(bytes));
}

void dns_put_u32(struct dns_writer *w, uint32_t value)
{
    dns_put_u16(w, (uint16_t)(value >> 16));
    dns_put_u16(w, (uint16_t)value);
}

/* hashes[i] is that of the suffix from label i on. */
static void suffix_hashes(const struct dns_name *name, uint32_t hashes[static DNS_LABELS_MAX])
{
    uint32_t hash = 2166136261U;
    for (size_t i = name->labels; i-- > 0;) {
        const uint8_t *label = &name->bytes[name->at[i]];
        for (size_t c = 0; c <= label[0]; c++) {
            hash = (hash ^ label[c]) * 16777619U;
        }
        hashes[i] = hash;
    }
}

/* The name written at `at` equals the suffix of name from label i on. */
static bool is_written_at(const struct dns_writer *w, size_t at, const struct dns_name *name,
                          size_t i)
{
    struct dns_name written;
    if (dns_name_read((struct str){(const char *)w->p, w->n}, &at, &written) < 0) {
        return false;
    }
    size_t from = i < name->labels ? name->at[i] : name->len - 1U;
    return written.len == name->len - from &&
           memcmp(written.bytes, name->bytes + from, written.len) == 0;
}

static void suffix_remember(struct dns_writer *w, uint32_t hash, size_t at)
{
    if (w->suffixes < DNS_COMPRESS_MAX && at <= POINTER_MAX) {
        w->suffix[w->suffixes].hash = hash;
        w->suffix[w->suffixes].at = (uint32_t)at;
        w->suffixes++;
    }
}

static void put_name(struct dns_writer *w, const struct dns_name *name, bool is_compressed)
{
    uint32_t hashes[DNS_LABELS_MAX];
    suffix_hashes(name, hashes);
    size_t known = is_compressed ? w->suffixes : 0; /* what this name adds can't match itself */
    for (size_t i = 0; i < name->labels; i++) {
        for (size_t s = 0; s < known; s++) {
            if (w->suffix[s].hash == hashes[i] && is_written_at(w, w->suffix[s].at, name, i)) {
                dns_put_u16(w, (uint16_t)(POINTER << 8 | w->suffix[s].at));
                return;
            }
        }
        suffix_remember(w, hashes[i], w->n);
        struct str label = dns_label(name, i);
        const uint8_t length = (uint8_t)label.n;
        put(w, &length, 1);
        dns_put_bytes(w, label);
    }
    put(w, "", 1);
}

void dns_put_name(struct dns_writer *w, const struct dns_name *name)
{
    put_name(w, name, /*is_compressed=*/true);
}

void dns_put_full_name(struct dns_writer *w, const struct dns_name *name)
{
    put_name(w, name, /*is_compressed=*/false);
}

void dns_write_begin(struct dns_writer *w, uint8_t *room, size_t limit, struct str query,
                     const struct dns_query *parsed)
{
    w->p = room;
    w->n = 0;
    w->limit = limit;
    w->is_over = false;
    w->suffixes = 0;
    memset(w->counts, 0, sizeof(w->counts));
    memset(room, 0, DNS_HEADER_BYTES);
    w->n = DNS_HEADER_BYTES;
    if (parsed->question_end == 0) {
        return;
    }
    uint32_t hashes[DNS_LABELS_MAX];
    suffix_hashes(&parsed->name, hashes);
    for (size_t i = 0; i < parsed->name.labels; i++) {
        suffix_remember(w, hashes[i], QUESTION_NAME_AT + (size_t)parsed->name.at[i]);
    }
    dns_put_bytes(w, str_sub(query, DNS_HEADER_BYTES, parsed->question_end));
    w->counts[DNS_QUESTION] = 1;
    if (parsed->has_edns) {
        w->limit -= DNS_OPT_BYTES;
    }
}

void dns_record_begin(struct dns_writer *w, enum dns_section section, const struct dns_name *owner,
                      enum dns_type type, uint32_t ttl)
{
    w->section = section;
    w->record_at = w->n;
    w->record_suffixes = w->suffixes;
    w->is_over = false;
    if (owner == NULL) {
        dns_put_u16(w, POINTER << 8 | QUESTION_NAME_AT);
    } else {
        dns_put_name(w, owner);
    }
    dns_put_u16(w, (uint16_t)type);
    dns_put_u16(w, DNS_IN);
    dns_put_u32(w, ttl);
    w->length_at = w->n;
    dns_put_u16(w, 0);
}

bool dns_record_end(struct dns_writer *w)
{
    size_t bytes = w->n - w->length_at - 2;
    if (w->is_over || bytes > UINT16_MAX || w->counts[w->section] == UINT16_MAX) {
        w->n = w->record_at;
        w->suffixes = w->record_suffixes;
        w->is_over = false;
        return false;
    }
    w->p[w->length_at] = (uint8_t)(bytes >> 8);
    w->p[w->length_at + 1] = (uint8_t)bytes;
    w->counts[w->section]++;
    return true;
}

size_t dns_write_end(struct dns_writer *w, const struct dns_query *query, uint16_t flags, int rcode)
{
    if (query->has_edns && w->counts[DNS_QUESTION] == 1) {
        w->limit += DNS_OPT_BYTES;
        put(w, "", 1);
        dns_put_u16(w, DNS_OPT);
        dns_put_u16(w, DNS_EDNS_BYTES);
        dns_put_u32(w, (uint32_t)(rcode >> 4) << 24 | (query->is_dnssec_ok ? 0x8000U : 0));
        dns_put_u16(w, 0);
        w->counts[DNS_ADDITIONAL]++;
    }
    size_t end = w->n;
    w->n = 0;
    dns_put_u16(w, query->id);
    dns_put_u16(w, (uint16_t)(DNS_FLAG_QR | flags |
                              (query->flags & (DNS_FLAG_RD | DNS_OPCODE_MASK)) | (rcode & 15)));
    for (int i = 0; i < DNS_SECTIONS; i++) {
        dns_put_u16(w, w->counts[i]);
    }
    w->n = end;
    return end;
}
