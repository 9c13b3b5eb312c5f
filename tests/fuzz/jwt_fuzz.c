// SPDX-License-Identifier: Apache-2.0
//
// Tokens: any bytes are refused, for nobody else has the key. Claims that are signed verify to the
// same claims; the same token with any one byte changed, or cut short, is refused.
#include "fuzz.h"

#include "auth/internal.h"
#include "base/limits.h"
#include "data/json.h"

#include <openssl/ec.h>

enum { POSITION_BYTES = 2 };

static void must_refuse(EVP_PKEY *key, struct arena *arena, struct str token)
{
    struct val claims;
    struct err err;
    must(jwt_verify(key, token, arena, &claims, &err) == ERR_UNKNOWN_USER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static EVP_PKEY *key;
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct str text = {(const char *)data, size};
    struct val claims;
    struct val again;
    struct str token;
    struct err err;
    if (key == NULL) {
        key = EVP_EC_gen("P-256");
    }
    must_refuse(key, arena, text);
    if (size <= POSITION_BYTES + 1) {
        return 0;
    }
    text = str_sub(text, POSITION_BYTES + 1, size);
    if (json_read(text, arena, NULL, &claims, &err) < 0 || !val_is(&claims, VAL_MAP) ||
        jwt_sign(key, &claims, arena, &token, &err) < 0) {
        return 0;
    }
    /* -0.0 is written as -0, which is read as 0: so the claims are those of the token's own text */
    must(jwt_verify(key, token, arena, &claims, &err) == 0);
    must(jwt_sign(key, &claims, arena, &token, &err) == 0);
    must(jwt_verify(key, token, arena, &again, &err) == 0);
    auto_buf struct buf want;
    auto_buf struct buf got;
    buf_init(&want, JSON_BYTES_MAX);
    buf_init(&got, JSON_BYTES_MAX);
    must(json_write(&want, &claims) == 0 && json_write(&got, &again) == 0);
    must(str_eq(buf_str(&want), buf_str(&got)));
    size_t at = ((size_t)data[0] << 8 | data[1]) % token.n;
    must_refuse(key, arena, str_sub(token, 0, at));
    struct buf changed;
    buf_init(&changed, token.n + 1);
    (void)buf_add(&changed, token);
    if ((uint8_t)changed.p[at] != data[POSITION_BYTES]) {
        changed.p[at] = (char)data[POSITION_BYTES];
        must_refuse(key, arena, buf_str(&changed));
    }
    buf_done(&changed);
    return 0;
}
