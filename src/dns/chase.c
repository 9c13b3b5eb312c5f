// SPDX-License-Identifier: Apache-2.0
//
// ExternalName services point outside of the zone: the stub resolvers in containers expect the
// addresses in the same answer, so the caller asks upstream for the target and what comes is copied
// behind our CNAME. Record by record: names in foreign data are pointers into a foreign message.
#include "dns/answer.h"

#include "dns/internal.h"

enum { MX_PREFIX = 2, SRV_PREFIX = 6 };

/* Which data may be copied: prefix bytes as they are, then a name; or everything as it is. */
static const struct data_form {
    enum dns_type type;
    uint32_t prefix;
    bool has_name;
    bool is_compressed;
} data_forms[] = {
  /* type, bytes before the name, name, compressed */
    {DNS_A,     0,          false, false},
    {DNS_AAAA,  0,          false, false},
    {DNS_TXT,   0,          false, false},
    {DNS_CNAME, 0,          true,  true },
    {DNS_NS,    0,          true,  true },
    {DNS_PTR,   0,          true,  true },
    {DNS_MX,    MX_PREFIX,  true,  true },
    {DNS_SRV,   SRV_PREFIX, true,  false},
};

static const struct data_form *form_of(uint16_t type)
{
    for (size_t i = 0; i < sizeof(data_forms) / sizeof(data_forms[0]); i++) {
        if (data_forms[i].type == type) {
            return &data_forms[i];
        }
    }
    return NULL;
}

/* A message that answers one question. */
struct reply {
    struct str message;
    uint16_t flags;
    uint16_t answers;
    uint16_t type;
    struct dns_name name;
    size_t at; /* of the first answer record */
};

static uint16_t u16_at(struct str m, size_t at)
{
    return (uint16_t)((uint8_t)m.p[at] << 8 | (uint8_t)m.p[at + 1]);
}

static int reply_read(struct str m, struct reply *ret)
{
    size_t at = DNS_HEADER_BYTES;
    if (m.n < DNS_HEADER_BYTES || (u16_at(m, 2) & DNS_FLAG_QR) == 0 || u16_at(m, 4) != 1 ||
        dns_name_read(m, &at, &ret->name) < 0 || m.n - at < 4) {
        return ERR_SYNTAX;
    }
    ret->message = m;
    ret->flags = u16_at(m, 2);
    ret->answers = u16_at(m, 6);
    ret->type = u16_at(m, at);
    ret->at = at + 4;
    return 0;
}

/* Where our answer leads: the target of its last CNAME. */
static int target_read(struct str answer, struct reply *ret_reply, struct dns_name *ret)
{
    if (reply_read(answer, ret_reply) < 0) {
        return ERR_SYNTAX;
    }
    size_t at = ret_reply->at;
    int code = ERR_SYNTAX;
    for (uint32_t i = 0; i < ret_reply->answers; i++) {
        struct dns_record record;
        if (dns_record_read(answer, &at, &record) < 0) {
            return ERR_SYNTAX;
        }
        if (record.type == DNS_CNAME) {
            size_t data = record.data_at;
            code = dns_name_read(answer, &data, ret);
        }
    }
    return code;
}

int dns_chase_query(struct str answer, uint16_t id, struct buf *out)
{
    struct reply reply;
    struct dns_name target;
    if (target_read(answer, &reply, &target) < 0) {
        return ERR_SYNTAX;
    }
    const uint8_t header[DNS_HEADER_BYTES] = {
        (uint8_t)(id >> 8), (uint8_t)id, DNS_FLAG_RD >> 8, 0, 0, 1, 0, 0, 0, 0, 0, 1,
    };
    const uint8_t question[] = {(uint8_t)(reply.type >> 8), (uint8_t)reply.type, 0, DNS_IN};
    const uint8_t opt[DNS_OPT_BYTES] = {0, 0, DNS_OPT, DNS_EDNS_BYTES >> 8, DNS_EDNS_BYTES & 255};
    buf_clear(out);
    (void)buf_add(out, (struct str){(const char *)header, sizeof(header)});
    (void)buf_add(out, (struct str){(const char *)target.bytes, target.len});
    (void)buf_add(out, (struct str){(const char *)question, sizeof(question)});
    (void)buf_add(out, (struct str){(const char *)opt, sizeof(opt)});
    return out->over ? ERR_LIMIT : 0;
}

/* False when the writer is full; a record that can't be copied is left out. */
static bool record_copy(struct dns_writer *w, struct str m, const struct dns_record *record)
{
    const struct data_form *form = form_of(record->type);
    struct dns_name name;
    size_t at = record->data_at + (form == NULL ? 0 : form->prefix);
    if (form == NULL || record->class != DNS_IN || record->data_bytes < form->prefix ||
        (form->has_name && dns_name_read(m, &at, &name) < 0)) {
        return true;
    }
    size_t plain = form->has_name ? form->prefix : record->data_bytes;
    dns_record_begin(w, DNS_ANSWER, &record->owner, form->type, record->ttl);
    dns_put_bytes(w, str_sub(m, record->data_at, record->data_at + plain));
    if (form->has_name && form->is_compressed) {
        dns_put_name(w, &name);
    } else if (form->has_name) {
        dns_put_full_name(w, &name);
    }
    return dns_record_end(w);
}

/* Returns 1 when all were copied, 0 when the writer is full, ERR_SYNTAX. */
static int answers_copy(struct dns_writer *w, const struct reply *reply)
{
    size_t at = reply->at;
    for (uint32_t i = 0; i < reply->answers; i++) {
        struct dns_record record;
        if (dns_record_read(reply->message, &at, &record) < 0) {
            return ERR_SYNTAX;
        }
        if (!record_copy(w, reply->message, &record)) {
            return 0;
        }
    }
    return 1;
}

int dns_chase_join(const struct zone *zone, struct str query, struct str answer, struct str reply,
                   size_t udp_limit, struct buf *out)
{
    struct dns_query parsed;
    struct reply ours;
    struct reply theirs;
    struct dns_name target;
    if (dns_query_read(query, &parsed) != DNS_NOERROR || target_read(answer, &ours, &target) < 0 ||
        reply_read(reply, &theirs) < 0 || theirs.type != ours.type ||
        theirs.name.len != target.len || memcmp(theirs.name.bytes, target.bytes, target.len) != 0) {
        return ERR_SYNTAX;
    }
    size_t limit = dns_answer_limit(&parsed, udp_limit);
    struct dns_writer writer;
    buf_clear(out);
    char *room = buf_room(out, limit);
    if (room == NULL) {
        return ERR_LIMIT;
    }
    dns_write_begin(&writer, (uint8_t *)room, limit, query, &parsed);
    int copied = answers_copy(&writer, &ours);
    if (copied > 0) {
        copied = answers_copy(&writer, &theirs);
    }
    if (copied < 0) {
        return copied;
    }
    uint16_t flags =
        (uint16_t)(DNS_FLAG_AA | (copied == 0 ? DNS_FLAG_TC : theirs.flags & DNS_FLAG_TC) |
                   (zone->config.is_recursive ? DNS_FLAG_RA : 0));
    buf_grew(out, dns_write_end(&writer, &parsed, flags, theirs.flags & 15));
    return 0;
}
