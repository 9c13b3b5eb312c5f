// SPDX-License-Identifier: Apache-2.0
//
// Query bytes to answer bytes (spec/node.md 8): no socket, no clock, no upstream. What is not ours
// goes back to the caller, who forwards it.
#ifndef CORACLE_DNS_ANSWER_H
#define CORACLE_DNS_ANSWER_H

#include "base/rng.h"
#include "base/str.h"
#include "dns/wire.h"
#include "dns/zone.h"

enum dns_outcome {
    DNS_ANSWERED, /* out is the answer */
    DNS_FORWARD,  /* a name outside of the zone: forward the query as it is */
    DNS_CHASE,    /* out is an answer that ends in a CNAME to a name outside of the zone; send it as
                     it is, or ask upstream (dns_chase_query) and join what comes */
    DNS_DROP,     /* not a query: no answer */
};

/* Answers one query. udp_limit: most bytes of a datagram that the caller will send, 0 for TCP; the
 * client's own limit counts as well. out is cleared first; its ceiling has to leave room for the
 * limit (DNS_TCP_BYTES for TCP). rng turns the order of addresses. */
enum dns_outcome dns_answer(const struct zone *zone, struct str query, size_t udp_limit,
                            struct rng *rng, struct buf *out);

/* An answer of that rcode with the query's id and question: SERVFAIL when no upstream answered.
 * Returns DNS_ANSWERED or DNS_DROP. */
enum dns_outcome dns_answer_error(const struct zone *zone, struct str query, enum dns_rcode rcode,
                                  struct buf *out);

/* After DNS_CHASE: writes the query for the CNAME's target, of the same type, with id. ERR_SYNTAX
 * when answer is not such an answer. */
MUST_CHECK int dns_chase_query(struct str answer, uint16_t id, struct buf *out);
/* Writes answer with the records that upstream found behind it (A, AAAA, CNAME, TXT, MX, SRV, PTR,
 * NS) and upstream's rcode. ERR_SYNTAX when reply is no reply to that query; then send answer. */
MUST_CHECK int dns_chase_join(const struct zone *zone, struct str query, struct str answer,
                              struct str reply, size_t udp_limit, struct buf *out);

#endif
