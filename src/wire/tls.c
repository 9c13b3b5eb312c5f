// SPDX-License-Identifier: Apache-2.0
//
// The server's TLS context. Client certificates are asked for and never demanded: one that doesn't
// verify leaves its connection without a user, and the gate answers 401, as upstream does. No
// session tickets or caches: clients are few and each kubectl is a new process.
#include "wire/tls.h"

#include "base/mem.h"
#include "wire/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

struct tls_server {
    SSL_CTX *ctx;
    struct str client_ca; /* PEM, owned */
};

static int tls_err(struct err *err, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);
    ERR_clear_error();
    return err_set(err, ERR_INVALID, "%s: %s", what, reason == NULL ? "failed" : reason);
}

static BIO *bio_of(struct str text)
{
    return BIO_new_mem_buf(text.p, (int)text.n);
}

/* Loads the leaf and what follows it as its chain. */
static int use_cert(SSL_CTX *ctx, struct str pem, struct err *err)
{
    BIO *bio = bio_of(pem);
    X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    int r = 0;
    if (leaf == NULL || SSL_CTX_use_certificate(ctx, leaf) != 1) {
        r = tls_err(err, "server certificate");
    }
    X509_free(leaf);
    while (r == 0) {
        X509 *next = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (next == NULL) {
            ERR_clear_error();
            break;
        }
        if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
            X509_free(next);
            r = tls_err(err, "server certificate chain");
        }
    }
    BIO_free(bio);
    return r;
}

static int use_key(SSL_CTX *ctx, struct str pem, struct err *err)
{
    BIO *bio = bio_of(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    int r = 0;
    if (key == NULL || SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        r = tls_err(err, "server key");
    }
    EVP_PKEY_free(key);
    return r;
}

static int verify_later(int is_ok, X509_STORE_CTX *store)
{
    (void)is_ok;
    (void)store;
    return 1; /* the verdict stays in SSL_get_verify_result */
}

static int use_client_ca(SSL_CTX *ctx, struct str pem, struct err *err)
{
    BIO *bio = bio_of(pem);
    size_t count = 0;
    X509 *ca = NULL;
    while ((ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        (void)X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca);
        (void)SSL_CTX_add_client_CA(ctx, ca);
        X509_free(ca);
        count++;
    }
    BIO_free(bio);
    ERR_clear_error();
    if (count == 0) {
        return err_set(err, ERR_INVALID, "client CA: no certificate in it");
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, verify_later);
    return 0;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)ssl;
    (void)arg;
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *make_ctx(struct str cert, struct str key, struct str client_ca, struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        (void)tls_err(err, "TLS context");
        return NULL;
    }
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    if (use_cert(ctx, cert, err) < 0 || use_key(ctx, key, err) < 0 ||
        (client_ca.n > 0 && use_client_ca(ctx, client_ca, err) < 0)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

struct tls_server *tls_server_new(struct str cert_pem, struct str key_pem, struct str client_ca_pem,
                                  struct err *err)
{
    SSL_CTX *ctx = make_ctx(cert_pem, key_pem, client_ca_pem, err);
    if (ctx == NULL) {
        return NULL;
    }
    struct tls_server *tls = xcalloc(1, sizeof *tls);
    tls->ctx = ctx;
    tls->client_ca.p = xstrndup(client_ca_pem.n == 0 ? "" : client_ca_pem.p, client_ca_pem.n);
    tls->client_ca.n = client_ca_pem.n;
    return tls;
}

int tls_server_renew(struct tls_server *tls, struct str cert_pem, struct str key_pem,
                     struct err *err)
{
    SSL_CTX *ctx = make_ctx(cert_pem, key_pem, tls->client_ca, err);
    if (ctx == NULL) {
        return err->code;
    }
    SSL_CTX_free(tls->ctx);
    tls->ctx = ctx;
    return 0;
}

void tls_server_free(struct tls_server *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->ctx);
        free(take_ptr(&tls->client_ca.p));
        free(tls);
    }
}

SSL_CTX *tls_server_ctx(const struct tls_server *tls)
{
    return tls->ctx;
}

SSL_CTX *tls_client_ctx_unverified(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx != NULL) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        (void)SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
        (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    return ctx;
}

static struct str entry_text(const X509_NAME *name, int at, struct arena *arena)
{
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (n < 0) {
        return S("");
    }
    struct str s = arena_dup(arena, (struct str){(const char *)utf8, (size_t)n});
    OPENSSL_free(utf8);
    return s;
}

void tls_cert_names(X509 *cert, struct arena *arena, struct str *ret_cn, struct str **ret_orgs,
                    size_t *ret_orgs_count)
{
    const X509_NAME *name = X509_get_subject_name(cert);
    int count = X509_NAME_entry_count(name);
    struct str *orgs = arena_alloc(arena, (size_t)(count + 1) * sizeof *orgs);
    size_t n = 0;
    int cn = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    *ret_cn = cn < 0 ? S("") : entry_text(name, cn, arena);
    for (int at = -1; (at = X509_NAME_get_index_by_NID(name, NID_organizationName, at)) >= 0;) {
        orgs[n++] = entry_text(name, at, arena);
    }
    *ret_orgs = orgs;
    *ret_orgs_count = n;
}
