// SPDX-License-Identifier: Apache-2.0
//
// DNS bytes: questions, answers with compressed names, and answers that lie.
#include "test.h"

#include "dns.h"

#include <string.h>

enum { ID = 0x1234 };

/* One SRV answer for _http._tcp.a.b and the address of its target in the additional section. */
static const uint8_t answer[] =
    {
        0x12, 0x34, 0x85, 0x80, 0,    1,   0, 1,   0,   0,   0,   1, /* header */
        5,    '_',  'h',  't',  't',  'p', 4, '_', 't', 'c', 'p', 1,  'a', 1,   'b', 0,
        0,    33,   0,    1, /* 12 */
        0xc0, 12,   0,    33,   0,    1,   0, 0,   0,   5,   0,   12, 0,   0,   0,   100,
        0x13, 0x88,                       /* 32 */
        3,    'm',  '-',  '0',  0xc0, 23, /* 50 */
        0xc0, 50,   0,    1,    0,    1,   0, 0,   0,   5,   0,   4,  10,  244, 0,   7,
};

TEST(dns_question)
{
    uint8_t out[DNS_QUESTION_MAX];
    static const uint8_t want[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0,  0,  0, 0, 1, 1, 'a', 2, 'b', 'c',
                                   0,    0,    1, 0, 1, 0, 0, 41, 16, 0, 0, 0, 0, 0,   0, 0};
    EXPECT_INT(sizeof want, dns_question_write(out, ID, "a.bc", DNS_TYPE_A));
    EXPECT(memcmp(out, want, sizeof want) == 0);
    EXPECT_INT(sizeof want, dns_question_write(out, ID, "a.bc.", DNS_TYPE_A));
}

TEST(dns_question_refuses_bad_names)
{
    uint8_t out[DNS_QUESTION_MAX];
    char label[66], name[300];
    memset(label, 'a', 64);
    label[64] = '\0';
    EXPECT_INT(0, dns_question_write(out, ID, label, DNS_TYPE_A));
    EXPECT_INT(0, dns_question_write(out, ID, "a..b", DNS_TYPE_A));
    EXPECT_INT(0, dns_question_write(out, ID, ".a", DNS_TYPE_A));
    for (size_t i = 0; i < sizeof name; i++) {
        name[i] = i % 2 == 0 ? 'a' : '.';
    }
    name[sizeof name - 1] = '\0';
    EXPECT_INT(0, dns_question_write(out, ID, name, DNS_TYPE_A));
    name[253] = '\0'; /* the longest name there is: 253 characters */
    EXPECT(dns_question_write(out, ID, name, DNS_TYPE_A) > 0);
}

TEST(dns_answer)
{
    struct dns_record records[4];
    int count = 0;
    EXPECT_INT(DNS_OK,
               dns_answer_read(answer, sizeof answer, ID, DNS_TYPE_SRV, records, 4, &count));
    EXPECT_INT(2, count);
    EXPECT_INT(DNS_TYPE_SRV, records[0].type);
    EXPECT_STR("_http._tcp.a.b", str_of(records[0].owner));
    EXPECT_STR("m-0.a.b", str_of(records[0].target));
    EXPECT_INT(5000, records[0].port);
    EXPECT_STR("m-0.a.b", str_of(records[1].owner));
    EXPECT(memcmp(records[1].address, (uint8_t[]){10, 244, 0, 7}, 4) == 0);
    EXPECT_INT(DNS_NO_NAME,
               dns_answer_read(answer, sizeof answer, ID, DNS_TYPE_A, records, 4, &count));
    EXPECT_INT(DNS_OK,
               dns_answer_read(answer, sizeof answer, ID, DNS_TYPE_SRV, records, 1, &count));
    EXPECT_INT(1, count);
}

TEST(dns_answer_outcomes)
{
    struct dns_record records[4];
    uint8_t bytes[sizeof answer];
    int count = 0;
    /* byte of the header, its value, outcome */
    static const struct {
        size_t at;
        uint8_t value;
        enum dns_outcome outcome;
    } cases[] = {
        {0,  0x13, DNS_NONSENSE }, /* another id */
        {2,  0x05, DNS_NONSENSE }, /* a question, not an answer */
        {5,  0,    DNS_NONSENSE }, /* no question in it */
        {2,  0x87, DNS_TRUNCATED},
        {3,  0x83, DNS_NO_NAME  },
        {3,  0x82, DNS_FAILED   },
        {3,  0x85, DNS_FAILED   },
        {7,  2,    DNS_OK       }, /* claims another answer: it takes the additional
  one for it */
        {7,  9,    DNS_NONSENSE }, /* claims more than there is */
        {33, 32,   DNS_NONSENSE }, /* a name that points to itself */
        {33, 255,  DNS_NONSENSE }, /* a name that points outside */
        {43, 200,  DNS_NONSENSE }, /* a record longer than the message */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(bytes, answer, sizeof bytes);
        bytes[cases[i].at] = cases[i].value;
        if (cases[i].at == 7 && cases[i].value == 2) {
            bytes[11] = 0;
        }
        EXPECT_INT(cases[i].outcome,
                   dns_answer_read(bytes, sizeof bytes, ID, DNS_TYPE_SRV, records, 4, &count));
    }
}

/* No byte of an answer, changed to anything, may lead outside it: the sanitizers watch. */
TEST(dns_answer_survives_any_byte)
{
    struct dns_record records[4];
    uint8_t bytes[sizeof answer];
    int count = 0;
    for (size_t n = 0; n < sizeof answer; n++) {
        memcpy(bytes, answer, sizeof bytes);
        EXPECT(dns_answer_read(bytes, n, ID, DNS_TYPE_SRV, records, 4, &count) != DNS_OK);
        for (int value = 0; value < 256; value++) {
            bytes[n] = (uint8_t)value;
            (void)dns_answer_read(bytes, sizeof bytes, ID, DNS_TYPE_SRV, records, 4, &count);
        }
    }
}
