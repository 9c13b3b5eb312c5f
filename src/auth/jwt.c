// SPDX-License-Identifier: Apache-2.0
//
// JSON Web Tokens with ES256 signatures (RFC 7515, RFC 7518 section 3.4), nothing else: the header
// must be exactly ours, so there is no algorithm to confuse. The key is published for others.
#include "auth/internal.h"

#include "base/enc.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>

enum { SIGNATURE_HALF = 32, DER_BYTES_MAX = 80, TOKEN_BYTES_MAX = HEADER_BYTES_MAX };

static const struct str jwt_header = {"{\"alg\":\"ES256\",\"typ\":\"JWT\"}", 27};

/* DER to r || s. */
static int signature_to_raw(const unsigned char *der, size_t n,
                            unsigned char raw[static 2 * SIGNATURE_HALF])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    int ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, SIGNATURE_HALF) > 0 &&
             BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + SIGNATURE_HALF, SIGNATURE_HALF) > 0;
    ECDSA_SIG_free(sig);
    return ok;
}

static int signature_to_der(const unsigned char *raw, unsigned char der[static DER_BYTES_MAX],
                            size_t *ret_n)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, SIGNATURE_HALF, NULL);
    BIGNUM *s = BN_bin2bn(raw + SIGNATURE_HALF, SIGNATURE_HALF, NULL);
    int ok = sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s);
    if (!ok) {
        BN_free(r);
        BN_free(s);
    }
    int n = ok ? i2d_ECDSA_SIG(sig, NULL) : -1;
    if (n > 0 && n <= DER_BYTES_MAX) {
        unsigned char *out = der;
        *ret_n = (size_t)i2d_ECDSA_SIG(sig, &out);
    }
    ECDSA_SIG_free(sig);
    return ok && n > 0 && n <= DER_BYTES_MAX;
}

int jwt_sign(EVP_PKEY *key, const struct val *claims, struct arena *arena, struct str *ret,
             struct err *err)
{
    auto_buf struct buf json;
    auto_buf struct buf token;
    buf_init(&json, TOKEN_BYTES_MAX);
    buf_init(&token, TOKEN_BYTES_MAX);
    (void)json_write(&json, claims);
    (void)base64url_encode(&token, jwt_header);
    (void)buf_addc(&token, '.');
    (void)base64url_encode(&token, buf_str(&json));
    unsigned char der[DER_BYTES_MAX];
    unsigned char raw[2 * SIGNATURE_HALF];
    size_t n = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) > 0 &&
             EVP_DigestSign(ctx, der, &n, (const unsigned char *)token.p, token.n) > 0 &&
             signature_to_raw(der, n, raw);
    EVP_MD_CTX_free(ctx);
    (void)buf_addc(&token, '.');
    (void)base64url_encode(&token, (struct str){(const char *)raw, sizeof raw});
    if (!ok || token.over || json.over) {
        return err_set(err, ERR_INTERNAL, "sign a token");
    }
    *ret = arena_dup(arena, buf_str(&token));
    return 0;
}

/* One coordinate of the public key, as RFC 7518 6.2.1.2 wants it. */
static struct str coordinate(EVP_PKEY *key, const char *name, struct arena *arena)
{
    unsigned char raw[SIGNATURE_HALF];
    BIGNUM *bn = NULL;
    auto_buf struct buf text;
    buf_init(&text, (size_t)2 * SIGNATURE_HALF);
    if (EVP_PKEY_get_bn_param(key, name, &bn) == 1 && BN_bn2binpad(bn, raw, SIGNATURE_HALF) > 0) {
        (void)base64url_encode(&text, (struct str){(const char *)raw, sizeof raw});
    }
    BN_free(bn);
    return arena_dup(arena, buf_str(&text));
}

struct str auth_key_set(struct auth *auth, struct arena *arena)
{
    struct str x = coordinate(auth->key, OSSL_PKEY_PARAM_EC_PUB_X, arena);
    struct str y = coordinate(auth->key, OSSL_PKEY_PARAM_EC_PUB_Y, arena);
    return arena_fmt(
        arena,
        "{\"keys\":[{\"use\":\"sig\",\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"ES256\","
        "\"x\":\"" STR_FMT "\",\"y\":\"" STR_FMT "\"}]}",
        STR_ARG(x), STR_ARG(y));
}

struct str auth_issuer_document(struct auth *auth, struct str address, struct arena *arena)
{
    return arena_fmt(arena,
                     "{\"issuer\":\"%s\",\"jwks_uri\":\"https://" STR_FMT
                     "/openid/v1/jwks\",\"response_types_supported\":[\"id_token\"],"
                     "\"subject_types_supported\":[\"public\"],"
                     "\"id_token_signing_alg_values_supported\":[\"ES256\"]}",
                     auth->issuer, STR_ARG(address));
}

static bool is_signed(EVP_PKEY *key, struct str text, struct str signature)
{
    unsigned char der[DER_BYTES_MAX];
    size_t n = 0;
    if (signature.n != (size_t)2 * SIGNATURE_HALF ||
        !signature_to_der((const unsigned char *)signature.p, der, &n)) {
        return false;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) > 0 &&
             EVP_DigestVerify(ctx, der, n, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

int jwt_verify(EVP_PKEY *key, struct str token, struct arena *arena, struct val *ret,
               struct err *err)
{
    auto_buf struct buf header;
    auto_buf struct buf claims;
    auto_buf struct buf signature;
    buf_init(&header, TOKEN_BYTES_MAX);
    buf_init(&claims, TOKEN_BYTES_MAX);
    buf_init(&signature, TOKEN_BYTES_MAX);
    ptrdiff_t first = str_find(token, '.');
    ptrdiff_t last = str_rfind(token, '.');
    if (first < 0 || last <= first ||
        base64url_decode(&header, str_sub(token, 0, (size_t)first)) < 0 ||
        !str_eq(buf_str(&header), jwt_header) ||
        base64url_decode(&claims, str_sub(token, (size_t)first + 1, (size_t)last)) < 0 ||
        base64url_decode(&signature, str_sub(token, (size_t)last + 1, token.n)) < 0 ||
        !is_signed(key, str_sub(token, 0, (size_t)last), buf_str(&signature))) {
        return err_set(err, ERR_UNKNOWN_USER, "invalid bearer token");
    }
    struct str text = arena_dup(arena, buf_str(&claims));
    if (json_read(text, arena, NULL, ret, err) < 0 || !val_is(ret, VAL_MAP)) {
        return err_set(err, ERR_UNKNOWN_USER, "invalid bearer token");
    }
    return 0;
}
