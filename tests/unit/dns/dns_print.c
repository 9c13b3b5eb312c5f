// SPDX-License-Identifier: Apache-2.0
#include "dns_print.h"

#include <stdio.h>

static void put16(struct buf *out, unsigned value)
{
    (void)buf_addc(out, (char)(value >> 8));
    (void)buf_addc(out, (char)value);
}

struct str query_make(struct buf *out, const char *name, uint16_t type, uint16_t edns_bytes)
{
    struct str rest = str_of(name);
    buf_clear(out);
    put16(out, QUERY_ID);
    put16(out, DNS_FLAG_RD);
    put16(out, 1);
    put16(out, 0);
    put16(out, 0);
    put16(out, edns_bytes > 0 ? 1 : 0);
    while (rest.p != NULL && rest.n > 0) {
        struct str label = str_cut(&rest, '.');
        (void)buf_addc(out, (char)label.n);
        (void)buf_add(out, label);
    }
    (void)buf_addc(out, '\0');
    put16(out, type);
    put16(out, DNS_IN);
    if (edns_bytes > 0) {
        (void)buf_addc(out, '\0');
        put16(out, DNS_OPT);
        put16(out, edns_bytes);
        put16(out, 0);
        put16(out, 0x8000);
        put16(out, 0);
    }
    return buf_str(out);
}

static unsigned u16(struct str m, size_t at)
{
    return (unsigned)((uint8_t)m.p[at] << 8 | (uint8_t)m.p[at + 1]);
}

static void print_name(struct buf *out, const struct dns_name *name)
{
    for (size_t i = 0; i < name->labels; i++) {
        struct str label = dns_label(name, i);
        (void)buf_addf(out, "%s" STR_FMT, i == 0 ? "" : ".", STR_ARG(label));
    }
}

static int print_data(struct buf *out, struct str m, const struct dns_record *r)
{
    struct dns_name name;
    size_t at = r->data_at;
    const uint8_t *p = (const uint8_t *)m.p + at;
    switch (r->type) {
    case DNS_A:
        if (r->data_bytes != 4) {
            return ERR_SYNTAX;
        }
        return buf_addf(out, "A %u.%u.%u.%u", p[0], p[1], p[2], p[3]);
    case DNS_TXT:
        if (r->data_bytes < 1 || r->data_bytes != p[0] + 1U) {
            return ERR_SYNTAX;
        }
        return buf_addf(out, "TXT \"%.*s\"", p[0], m.p + at + 1);
    case DNS_SRV:
        if (r->data_bytes < 7) {
            return ERR_SYNTAX;
        }
        (void)buf_addf(out, "SRV %u %u %u ", u16(m, at), u16(m, at + 2), u16(m, at + 4));
        at += 6;
        break;
    case DNS_CNAME:
        (void)buf_add(out, S("CNAME "));
        break;
    case DNS_NS:
        (void)buf_add(out, S("NS "));
        break;
    case DNS_PTR:
        (void)buf_add(out, S("PTR "));
        break;
    case DNS_SOA:
        (void)buf_add(out, S("SOA "));
        break;
    case DNS_OPT:
        return buf_addf(out, "OPT %u", r->class);
    default:
        return buf_addf(out, "TYPE%u", r->type);
    }
    if (dns_name_read(m, &at, &name) < 0) {
        return ERR_SYNTAX;
    }
    print_name(out, &name);
    if (r->type == DNS_SOA) {
        if (dns_name_read(m, &at, &name) < 0 || at + 20 != r->data_at + r->data_bytes) {
            return ERR_SYNTAX;
        }
        (void)buf_addc(out, ' ');
        print_name(out, &name);
        for (int i = 0; i < 5; i++) {
            (void)buf_addf(out, " %u", u16(m, at + 4U * i) << 16 | u16(m, at + 4U * i + 2));
        }
        at += 20;
    }
    return at == r->data_at + r->data_bytes ? 0 : ERR_SYNTAX;
}

static int print_records(struct buf *out, struct str m)
{
    struct dns_name name;
    size_t at = DNS_HEADER_BYTES;
    for (unsigned i = 0; i < u16(m, 4); i++) {
        if (dns_name_read(m, &at, &name) < 0 || m.n - at < 4) {
            return ERR_SYNTAX;
        }
        at += 4;
    }
    for (size_t section = DNS_ANSWER; section < DNS_SECTIONS; section++) {
        (void)buf_add(out, section == DNS_ANSWER ? S("") : S(" /"));
        for (unsigned i = 0; i < u16(m, 4 + 2 * section); i++) {
            struct dns_record record;
            if (dns_record_read(m, &at, &record) < 0) {
                return ERR_SYNTAX;
            }
            (void)buf_add(out, S(" | "));
            if (record.type != DNS_OPT) {
                print_name(out, &record.owner);
                (void)buf_addf(out, " %u ", record.ttl);
            }
            if (print_data(out, m, &record) < 0) {
                return ERR_SYNTAX;
            }
        }
    }
    return at == m.n ? 0 : ERR_SYNTAX;
}

void answer_print(struct buf *out, struct str m)
{
    static const char *const rcodes[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                         "NXDOMAIN", "NOTIMP",  "REFUSED"};
    buf_clear(out);
    if (m.n < DNS_HEADER_BYTES || (u16(m, 2) & DNS_FLAG_QR) == 0 || (u16(m, 2) & 15) > 5) {
        (void)buf_add(out, S("malformed"));
        return;
    }
    unsigned flags = u16(m, 2);
    (void)buf_addf(out, "%s%s%s%s", rcodes[flags & 15], (flags & DNS_FLAG_AA) != 0 ? " aa" : "",
                   (flags & DNS_FLAG_TC) != 0 ? " tc" : "",
                   (flags & DNS_FLAG_RA) != 0 ? " ra" : "");
    if (print_records(out, m) < 0) {
        buf_clear(out);
        (void)buf_add(out, S("malformed"));
    }
}
