// SPDX-License-Identifier: Apache-2.0
#include "registry/digest.h"

#include "base/enc.h"
#include "base/mem.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define PREFIX "sha256:"

struct digest {
    EVP_MD_CTX *hash;
};

struct digest *digest_new(void)
{
    struct digest *d = xcalloc(1, sizeof *d);
    d->hash = EVP_MD_CTX_new();
    if (d->hash == NULL || EVP_DigestInit_ex(d->hash, EVP_sha256(), NULL) != 1) {
        abort(); /* out of memory */
    }
    return d;
}

void digest_free(struct digest *d)
{
    if (d != NULL) {
        EVP_MD_CTX_free(d->hash);
        free(d);
    }
}

void digest_add(struct digest *d, struct str bytes)
{
    (void)EVP_DigestUpdate(d->hash, bytes.p, bytes.n);
}

void digest_text(struct digest *d, char out[static DIGEST_TEXT_MAX])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    auto_buf struct buf text;
    buf_init(&text, DIGEST_TEXT_MAX);
    (void)EVP_DigestFinal_ex(d->hash, bytes, &n);
    (void)buf_add(&text, S(PREFIX));
    (void)hex_encode(&text, (struct str){(const char *)bytes, n});
    memcpy(out, text.p, text.n + 1);
}

void digest_of(struct str bytes, char out[static DIGEST_TEXT_MAX])
{
    struct digest *d = digest_new();
    digest_add(d, bytes);
    digest_text(d, out);
    digest_free(d);
}

bool digest_is_valid(struct str text)
{
    bool is_fine = str_starts(text, S(PREFIX)) && text.n == DIGEST_TEXT_MAX - 1;
    for (size_t i = sizeof PREFIX - 1; is_fine && i < text.n; i++) {
        char c = text.p[i];
        is_fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    }
    return is_fine;
}

struct str digest_hex(struct str text)
{
    return str_sub(text, sizeof PREFIX - 1, text.n);
}
