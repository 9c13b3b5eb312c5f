// SPDX-License-Identifier: Apache-2.0
//
// DNS messages (RFC 1035, SRV of RFC 2782) as pure functions of bytes: writes a question, reads
// an answer. Names are dotted text without the last dot. Bytes from the network are never trusted:
// every offset is checked and a name may follow only so many pointers.
#ifndef CORACLE_EXAMPLES_DNS_H
#define CORACLE_EXAMPLES_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DNS_NAME_MAX = 256, DNS_QUESTION_MAX = 300, DNS_TYPE_A = 1, DNS_TYPE_SRV = 33 };

struct dns_record {
    uint16_t type;             /* A and SRV come through, all others are skipped */
    char owner[DNS_NAME_MAX];  /* whose record it is */
    char target[DNS_NAME_MAX]; /* SRV: the host */
    uint16_t port;             /* SRV */
    uint8_t address[4];        /* A */
};

enum dns_outcome {
    DNS_OK,        /* *ret_count records, answers first, then additional ones */
    DNS_NO_NAME,   /* there is no such name, or it has no record of that type */
    DNS_TRUNCATED, /* ask again over TCP */
    DNS_FAILED,    /* the server refuses or can't */
    DNS_NONSENSE,  /* not an answer to this question */
};

/* Writes a question for name and type. Its bytes, or 0 when the name is no DNS name. */
size_t dns_question_write(uint8_t *out, uint16_t id, const char *name, uint16_t type);
/* Reads the n bytes of an answer to that question into at most max records. */
enum dns_outcome dns_answer_read(const uint8_t *p, size_t n, uint16_t id, uint16_t type,
                                 struct dns_record *records, int max, int *ret_count);

#endif
