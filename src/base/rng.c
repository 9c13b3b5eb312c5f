// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void rng_seed(struct rng *rng, uint64_t seed)
{
    /* splitmix64 spreads the seed over the state. */
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        rng->s[i] = z ^ (z >> 31);
    }
}

void rng_seed_system(struct rng *rng)
{
    if (getrandom(rng->s, sizeof rng->s, 0) != (ssize_t)sizeof rng->s) {
        abort();
    }
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t x;
    do {
        x = rng_next(rng);
    } while (x >= limit);
    return x % bound;
}

void rng_uuid(struct rng *rng, char out[static UUID_LEN + 1])
{
    uint64_t a = (rng_next(rng) & ~UINT64_C(0xf000)) | 0x4000;
    uint64_t b = (rng_next(rng) & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62);
    (void)snprintf(out, UUID_LEN + 1, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(a >> 32),
                   (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xffff, (unsigned)(b >> 48),
                   (unsigned long long)(b & 0xffffffffffff));
}

void rng_name_suffix(struct rng *rng, char out[static NAME_SUFFIX_LEN + 1])
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    for (int i = 0; i < NAME_SUFFIX_LEN; i++) {
        out[i] = alphabet[rng_below(rng, sizeof alphabet - 1)];
    }
    out[NAME_SUFFIX_LEN] = '\0';
}
