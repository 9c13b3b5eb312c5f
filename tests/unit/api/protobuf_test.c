// SPDX-License-Identifier: Apache-2.0
#include "api/render.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "test.h"

/* Messages are written as text: hex bytes, 'text' for its bytes, and N( … ) for field N as an
 * embedded message or text with its length in front. */
static const char *compose(const char *at, struct buf *out)
{
    while (*at != '\0' && *at != ')') {
        if (*at == ' ') {
            at++;
        } else if (*at == '\'') {
            for (at++; *at != '\''; at++) {
                (void)buf_addc(out, *at);
            }
            at++;
        } else if (*at == '#') { /* a raw byte */
            static const char digits[] = "0123456789abcdef";
            long high = strchr(digits, at[1]) - digits;
            long low = strchr(digits, at[2]) - digits;
            (void)buf_addc(out, (char)(high * 16 + low));
            at += 3;
        } else {
            unsigned number = 0;
            for (; *at != '('; at++) {
                number = number * 10 + (unsigned)(*at - '0');
            }
            struct buf inner;
            buf_init(&inner, BODY_BYTES_MAX);
            at = compose(at + 1, &inner) + 1;
            for (unsigned long v = number << 3 | 2;; v >>= 7) {
                (void)buf_addc(out, (char)(v > 127 ? (v & 127) | 128 : v));
                if (v <= 127) {
                    break;
                }
            }
            for (unsigned long v = inner.n;; v >>= 7) {
                (void)buf_addc(out, (char)(v > 127 ? (v & 127) | 128 : v));
                if (v <= 127) {
                    break;
                }
            }
            (void)buf_add(out, buf_str(&inner));
            buf_done(&inner);
        }
    }
    return at;
}

static struct str json_text(struct arena *arena, const struct val *v)
{
    struct buf json;
    buf_init(&json, BODY_BYTES_MAX);
    EXPECT_INT(0, json_write(&json, v));
    struct str text = arena_dup(arena, buf_str(&json));
    buf_done(&json);
    return text;
}

static int read_body(struct arena *arena, const char *text, struct str *ret, struct err *err)
{
    struct buf bytes;
    buf_init(&bytes, BODY_BYTES_MAX);
    (void)compose(text, &bytes);
    struct str kept = arena_dup(arena, buf_str(&bytes));
    buf_done(&bytes);
    struct val v;
    int rc = protobuf_read(kept, arena, &v, err);
    if (rc < 0) {
        return rc;
    }
    *ret = json_text(arena, &v);
    return 0;
}

#define BODY(version, kind, raw) "'k8s'#00 1(1('" version "') 2('" kind "')) 2(" raw ") 3() 4()"
#define TYPED(version, kind)     "\"apiVersion\":\"" version "\",\"kind\":\"" kind "\""

TEST(protobuf_bodies_become_the_json_tree)
{
    // clang-format off
    static const struct {
        const char *body, *json;
    } rows[] = {
        /* Zero values and the empty creationTimestamp go, empty messages stay. */
        {BODY("v1", "Namespace", "1(1('web') 2() 3() 4() 5() 6() #38#00 8()) 2() 3(1())"),
         "{" TYPED("v1", "Namespace") ",\"metadata\":{\"name\":\"web\"},\"spec\":{},\"status\":{}}"},
        {BODY("v1", "Secret", "1(1('s')) 2(1('a') 2(#00#ff)) 2(1('b') 2()) 3('Opaque') #28#00"),
         "{" TYPED("v1", "Secret") ",\"data\":{\"a\":\"AP8=\",\"b\":\"\"},\"immutable\":false,"
         "\"metadata\":{\"name\":\"s\"},\"type\":\"Opaque\"}"},
        {BODY("v1", "DeleteOptions", "#08#00 2(1('u')) 4('Background') 5('All')"),
         "{" TYPED("v1", "DeleteOptions") ",\"dryRun\":[\"All\"],\"gracePeriodSeconds\":0,"
         "\"preconditions\":{\"uid\":\"u\"},\"propagationPolicy\":\"Background\"}"},
        /* replicas 0 is a pointer and stays; template, container, quantities, inline volume. */
        {BODY("apps/v1", "StatefulSet",
              "2(#08#00 2(1(1('app') 2('x'))) 3(2(1(1('v') 2(#12#02 #0a#00))"
              "2(1('c') 2('img') 8(1(1('cpu') 2(1('500m')))) 6(1('http') #18#88#27)"
              "10(1(2(1('/') 2(#08#01 #10#00 3('http')))) #20#0a)))) 5('svc'))"),
         "{" TYPED("apps/v1", "StatefulSet") ",\"spec\":{\"replicas\":0,\"selector\":{"
         "\"matchLabels\":{\"app\":\"x\"}},\"serviceName\":\"svc\",\"template\":{\"spec\":{"
         "\"containers\":[{\"image\":\"img\",\"livenessProbe\":{\"httpGet\":{\"path\":\"/\","
         "\"port\":\"http\"},\"periodSeconds\":10},\"name\":\"c\",\"ports\":[{\"containerPort\":"
         "5000,\"name\":\"http\"}],\"resources\":{\"limits\":{\"cpu\":\"500m\"}}}],\"volumes\":[{"
         "\"emptyDir\":{},\"name\":\"v\"}]}}}}"},
        {BODY("v1", "Service", "2(1(1('p') #18#50 4(#08#00 #10#90#3f 3())))"),
         "{" TYPED("v1", "Service") ",\"spec\":{\"ports\":[{\"name\":\"p\",\"port\":80,"
         "\"targetPort\":8080}]}}"},
        /* Unknown fields of each wire type are skipped. */
        {BODY("v1", "ConfigMap", "#98#06#01 #99#06#01#02#03#04#05#06#07#08 #9d#06#01#02#03#04 99('x')"
                                 "2(1('k') 2('v'))"),
         "{" TYPED("v1", "ConfigMap") ",\"data\":{\"k\":\"v\"}}"},
        {BODY("coordination.k8s.io/v1", "Lease", "2(4(#08#a5#eb#dc#ca#06 #10#c0#c4#07) #28#00)"),
         "{" TYPED("coordination.k8s.io/v1", "Lease") ",\"spec\":{\"leaseTransitions\":0,"
         "\"renewTime\":\"2026-01-02T03:04:05.000123Z\"}}"},
        {BODY("authorization.k8s.io/v1", "SelfSubjectAccessReview", "2(1(2('get') 5('pods')))"),
         "{" TYPED("authorization.k8s.io/v1", "SelfSubjectAccessReview") ",\"spec\":{"
         "\"resourceAttributes\":{\"resource\":\"pods\",\"verb\":\"get\"}}}"},
        {BODY("authorization.k8s.io/v1", "SubjectAccessReview", "2(5(1('k') 2(1('a') 1('b'))))"),
         "{" TYPED("authorization.k8s.io/v1", "SubjectAccessReview") ",\"spec\":{\"extra\":{\"k\":["
         "\"a\",\"b\"]}}}"},
        /* Repeated numbers, one by one and packed. */
        {BODY("v1", "Pod", "2(14(4(#08) ))"), NULL},
        {BODY("v1", "Pod", "2(14(#20#01 #20#02 4(#03#04)))"),
         "{" TYPED("v1", "Pod") ",\"spec\":{\"securityContext\":{\"supplementalGroups\":[1,2,3,4]"
         "}}}"},
        {BODY("apps/v1", "ControllerRevision", "2(1('{\"a\":1}')) #18#03"),
         "{" TYPED("apps/v1", "ControllerRevision") ",\"data\":{\"a\":1},\"revision\":3}"},
    };
    // clang-format on
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {0};
        struct str json;
        if (rows[i].json == NULL) {
            (void)!read_body(arena, rows[i].body, &json, &err);
            continue;
        }
        EXPECT_OK(read_body(arena, rows[i].body, &json, &err));
        struct val want;
        EXPECT_OK(json_read(str_of(rows[i].json), arena, NULL, &want, &err));
        EXPECT_STR(json_text(arena, &want).p, json);
    }
    arena_free(arena);
}

TEST(broken_protobuf_is_told_by_its_byte)
{
    // clang-format off
    static const struct {
        const char *body, *message;
    } rows[] = {
        {"'{}'", "protobuf: provided data does not appear to be a protobuf message, expected prefix "
                 "\"k8s\\x00\" at byte 0"},
        {"'k8s'#00#0a#05#00", "protobuf: length beyond the end at byte 6"},
        {"'k8s'#00#0a", "protobuf: unexpected end at byte 5"},
        {"'k8s'#00#0f", "protobuf: unknown wire type at byte 5"},
        {"'k8s'#00#00", "protobuf: bad field number at byte 5"},
        {BODY("v1", "Nothing", ""), "no kind \"Nothing\" is registered for version \"v1\""},
        {BODY("v1", "ConfigMap", "1(1(#ff))"), "protobuf: invalid UTF-8 at byte 28"},
        {BODY("v1", "ConfigMap", "#08#01"), "protobuf: message expected at byte 25"},
    };
    // clang-format on
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {0};
        struct str json;
        EXPECT_INT(ERR_SYNTAX, read_body(arena, rows[i].body, &json, &err));
        EXPECT_STR(rows[i].message, str_of(err.msg));
    }
    arena_free(arena);
}

TEST(protobuf_holds_no_tree_that_is_too_deep)
{
    struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    for (int levels = 60; levels <= 64; levels++) {
        struct buf body;
        struct err err = {0};
        struct str json;
        buf_init(&body, BODY_BYTES_MAX);
        (void)buf_add(&body, S("'k8s'#00 1(1('apps/v1') 2('ControllerRevision')) 2(2(1('"));
        for (int i = 0; i < 2 * levels; i++) {
            (void)buf_addc(&body, i < levels ? '[' : ']');
        }
        (void)buf_add(&body, S("')))"));
        int rc = read_body(arena, body.p, &json, &err);
        EXPECT_INT(levels < DOC_DEPTH_MAX ? 0 : ERR_LIMIT, rc);
        buf_done(&body);
    }
    arena_free(arena);
}
