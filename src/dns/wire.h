// SPDX-License-Identifier: Apache-2.0
//
// DNS messages: reading a query, writing an answer with name compression (RFC 1035 4.1, RFC 6891,
// RFC 9267 for what goes wrong in such code). Only what an authoritative server of a small zone
// needs; docs/decisions/0003 says why it is ours. Nothing here allocates.
#ifndef CORACLE_DNS_WIRE_H
#define CORACLE_DNS_WIRE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    DNS_HEADER_BYTES = 12,
    DNS_UDP_BYTES = 512,   /* without EDNS */
    DNS_TCP_BYTES = 65535, /* what the length prefix of TCP can say */
    DNS_EDNS_BYTES = 1232, /* what we say we take: no fragments at an MTU of 1280 */
    DNS_NAME_BYTES_MAX = 255,
    DNS_LABEL_BYTES_MAX = 63,
    DNS_LABELS_MAX = 127,
    DNS_POINTERS_MAX = 32, /* followed in one name */
    DNS_COMPRESS_MAX = 64, /* suffixes remembered while writing */
};

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_OPT = 41,
    DNS_IXFR = 251,
    DNS_AXFR = 252,
    DNS_ANY = 255,
};
enum { DNS_IN = 1 };

enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16,
};

enum { DNS_FLAG_QR = 0x8000, DNS_FLAG_AA = 0x0400, DNS_FLAG_TC = 0x0200 };
enum { DNS_FLAG_RD = 0x0100, DNS_FLAG_RA = 0x0080, DNS_OPCODE_MASK = 0x7800 };

/* A name in lower case, wire form (length, bytes, …, 0). */
struct dns_name {
    uint8_t bytes[DNS_NAME_BYTES_MAX];
    uint8_t len;
    uint8_t labels;             /* the root has none */
    uint8_t at[DNS_LABELS_MAX]; /* where each label's length byte is */
};

struct str dns_label(const struct dns_name *name, size_t i); /* borrowed; empty when out of range */
/* "a.b.c", a final dot is fine; ERR_INVALID when it is no name. */
MUST_CHECK int dns_name_parse(struct dns_name *ret, struct str text);
/* Reads the name at *at of a message, pointers followed, and moves *at behind it. */
MUST_CHECK int dns_name_read(struct str message, size_t *at, struct dns_name *ret);

struct dns_query {
    uint16_t id;
    uint16_t flags;
    uint16_t type;
    uint16_t class;
    size_t question_end; /* the question is message[12, question_end) */
    struct dns_name name;
    bool has_edns;
    bool is_dnssec_ok;
    uint8_t edns_version;
    uint16_t udp_bytes; /* the client's, with EDNS */
};
/* A DNS_ rcode; -1 when it is no query at all (too short, or an answer) and deserves silence.
 * Anything but DNS_NOERROR leaves only id and flags meaningful, unless question_end is set. */
int dns_query_read(struct str message, struct dns_query *ret);

/* One resource record of a message that somebody else wrote. */
struct dns_record {
    struct dns_name owner;
    uint16_t type;
    uint16_t class;
    uint32_t ttl;
    size_t data_at;
    size_t data_bytes;
};
MUST_CHECK int dns_record_read(struct str message, size_t *at, struct dns_record *ret);

enum dns_section { DNS_QUESTION, DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL, DNS_SECTIONS };

/* Writes into room that the caller gave. A record that does not fit is taken back whole; then
 * nothing more is written into that section. */
struct dns_writer {
    uint8_t *p;
    size_t n;
    size_t limit;
    bool is_over; /* the record under way does not fit */
    uint16_t counts[DNS_SECTIONS];
    enum dns_section section;
    size_t record_at;
    size_t length_at;
    size_t suffixes;
    size_t record_suffixes;
    struct {
        uint32_t hash;
        uint32_t at;
    } suffix[DNS_COMPRESS_MAX];
};

/* Starts a message that repeats the question of query (question_end 0: without). limit is at least
 * DNS_UDP_BYTES. */
void dns_write_begin(struct dns_writer *w, uint8_t *room, size_t limit, struct str query,
                     const struct dns_query *parsed);
/* A record: begin, its data, end. owner NULL is the question's name, in the client's spelling. */
void dns_record_begin(struct dns_writer *w, enum dns_section section, const struct dns_name *owner,
                      enum dns_type type, uint32_t ttl);
void dns_put_bytes(struct dns_writer *w, struct str bytes);
void dns_put_u16(struct dns_writer *w, uint16_t value);
void dns_put_u32(struct dns_writer *w, uint32_t value);
void dns_put_name(struct dns_writer *w, const struct dns_name *name); /* compressed */
/* In full, for record types younger than RFC 1035 (RFC 3597 4): SRV. */
void dns_put_full_name(struct dns_writer *w, const struct dns_name *name);
bool dns_record_end(struct dns_writer *w); /* false: did not fit */
/* The OPT record and the header. rcode may be an extended one. Returns the size of the message. */
size_t dns_write_end(struct dns_writer *w, const struct dns_query *query, uint16_t flags,
                     int rcode);
/* Space that dns_write_end needs for the OPT record. */
enum { DNS_OPT_BYTES = 11 };

#endif
