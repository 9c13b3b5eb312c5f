// SPDX-License-Identifier: Apache-2.0
//
// Randomness as a value that is handed in: seeded from the kernel in the program, from a number in
// tests and simulation (xoshiro256**, Blackman and Vigna). Not for keys: those come from OpenSSL.
#ifndef CORACLE_BASE_RNG_H
#define CORACLE_BASE_RNG_H

#include "base/str.h"

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *rng, uint64_t seed);
void rng_seed_system(struct rng *rng);
uint64_t rng_next(struct rng *rng);
/* Uniform in [0, bound); bound > 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

enum { UUID_LEN = 36, NAME_SUFFIX_LEN = 5 };
/* Version 4 UUID, lower case (RFC 9562 section 5.4), NUL-terminated. */
void rng_uuid(struct rng *rng, char out[static UUID_LEN + 1]);
/* The five characters that upstream appends to generateName, of its alphabet without vowels. */
void rng_name_suffix(struct rng *rng, char out[static NAME_SUFFIX_LEN + 1]);

#endif
