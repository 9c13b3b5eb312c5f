// SPDX-License-Identifier: Apache-2.0
//
// X.509 by OpenSSL: ECDSA P-256 keys, SHA-256 signatures, 128-bit random serial numbers.
#include "auth/cert.h"

#include "base/mem.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { SERIAL_BITS = 127, EXTENSION_BYTES_MAX = 16384 };

static int fail(struct err *err, const char *what)
{
    unsigned long code = ERR_get_error();
    return err_set(err, ERR_INTERNAL, "%s: %s", what,
                   code == 0 ? "unknown error" : ERR_reason_error_string(code));
}

static int add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    int ok = extension != NULL && X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    return ok;
}

static int set_serial(X509 *cert)
{
    BIGNUM *serial = BN_new();
    int ok = serial != NULL && BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
             BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL;
    BN_free(serial);
    return ok;
}

static int add_name(X509_NAME *name, const char *field, struct str value)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value.p,
                                      (int)value.n, -1, 0);
}

static int set_times(X509 *cert, usec from_wall, usec valid_for)
{
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(from_wall / USEC_PER_SEC)) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert),
                         (time_t)((from_wall + valid_for) / USEC_PER_SEC)) != NULL;
}

static int write_pem(X509 *cert, EVP_PKEY *key, struct buf *ret_cert, struct buf *ret_key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    int ok = bio != NULL;
    if (ok && cert != NULL) {
        ok = PEM_write_bio_X509(bio, cert);
        long n = BIO_get_mem_data(bio, &bytes);
        ok = ok && buf_add(ret_cert, (struct str){bytes, (size_t)n}) == 0;
        (void)BIO_reset(bio);
    }
    if (ok) {
        ok = PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
        long n = BIO_get_mem_data(bio, &bytes);
        ok = ok && buf_add(ret_key, (struct str){bytes, (size_t)n}) == 0;
    }
    BIO_free(bio);
    return ok;
}

static BIO *bio_of(struct str text)
{
    return BIO_new_mem_buf(text.p, (int)text.n);
}

static X509 *read_cert(struct str pem)
{
    BIO *bio = bio_of(pem);
    X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return cert;
}

static EVP_PKEY *read_key(struct str pem)
{
    BIO *bio = bio_of(pem);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return key;
}

int cert_make_ca(struct str common_name, usec from_wall, usec valid_for, struct buf *ret_cert,
                 struct buf *ret_key, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    int ok = key != NULL && cert != NULL && X509_set_version(cert, X509_VERSION_3) &&
             set_serial(cert) && set_times(cert, from_wall, valid_for) &&
             add_name(X509_get_subject_name(cert), "CN", common_name) &&
             X509_set_issuer_name(cert, X509_get_subject_name(cert)) &&
             X509_set_pubkey(cert, key) &&
             add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE") &&
             add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,digitalSignature") &&
             add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
             X509_sign(cert, key, EVP_sha256()) > 0 && write_pem(cert, key, ret_cert, ret_key);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok ? 0 : fail(err, "make the CA");
}

/* "DNS:a,IP:b" */
static int add_alternatives(X509 *cert, X509 *issuer, const struct cert_request *request)
{
    auto_buf struct buf text;
    buf_init(&text, EXTENSION_BYTES_MAX);
    for (size_t i = 0; i < request->dns_names_count; i++) {
        (void)buf_addf(&text, "%sDNS:" STR_FMT, text.n ? "," : "", STR_ARG(request->dns_names[i]));
    }
    for (size_t i = 0; i < request->addresses_count; i++) {
        (void)buf_addf(&text, "%sIP:" STR_FMT, text.n ? "," : "", STR_ARG(request->addresses[i]));
    }
    return !text.over && (text.n == 0 || add_extension(cert, issuer, NID_subject_alt_name, text.p));
}

static int add_subject(X509 *cert, const struct cert_request *request)
{
    X509_NAME *name = X509_get_subject_name(cert);
    for (size_t i = 0; i < request->organizations_count; i++) {
        if (!add_name(name, "O", request->organizations[i])) {
            return 0;
        }
    }
    return add_name(name, "CN", request->common_name);
}

int cert_make(struct str ca_cert_pem, struct str ca_key_pem, const struct cert_request *request,
              struct buf *ret_cert, struct buf *ret_key, struct err *err)
{
    X509 *ca = read_cert(ca_cert_pem);
    EVP_PKEY *ca_key = read_key(ca_key_pem);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    int ok = ca != NULL && ca_key != NULL && key != NULL && cert != NULL &&
             X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
             set_times(cert, request->valid_from_wall, request->valid_for) &&
             add_subject(cert, request) && X509_set_issuer_name(cert, X509_get_subject_name(ca)) &&
             X509_set_pubkey(cert, key) &&
             add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
             add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") &&
             add_extension(cert, ca, NID_ext_key_usage,
                           request->is_server ? "serverAuth" : "clientAuth") &&
             add_extension(cert, ca, NID_authority_key_identifier, "keyid") &&
             add_alternatives(cert, ca, request) && X509_sign(cert, ca_key, EVP_sha256()) > 0 &&
             write_pem(cert, key, ret_cert, ret_key);
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    return ok ? 0 : fail(err, "make a certificate");
}

int cert_make_key(struct buf *ret_key, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    int ok = key != NULL && write_pem(NULL, key, NULL, ret_key);
    EVP_PKEY_free(key);
    return ok ? 0 : fail(err, "make a key");
}

static int wall_of(const ASN1_TIME *time, usec *ret)
{
    int days = 0;
    int seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int ok = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, time);
    ASN1_TIME_free(epoch);
    *ret = ((usec)days * 86400 + seconds) * USEC_PER_SEC;
    return ok;
}

int cert_check(struct str cert_pem, struct str key_pem, usec *ret_from_wall, usec *ret_until_wall,
               struct err *err)
{
    X509 *cert = read_cert(cert_pem);
    EVP_PKEY *key = read_key(key_pem);
    int ok = cert != NULL && key != NULL && wall_of(X509_get0_notBefore(cert), ret_from_wall) &&
             wall_of(X509_get0_notAfter(cert), ret_until_wall);
    bool is_pair = ok && X509_check_private_key(cert, key) == 1;
    X509_free(cert);
    EVP_PKEY_free(key);
    if (is_pair) {
        return 0;
    }
    ERR_clear_error();
    return err_set(err, ERR_INVALID, ok ? "the key is not the certificate's" : "no certificate");
}
