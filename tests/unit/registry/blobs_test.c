// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "registry/blobs.h"

TEST(blobs_have_an_hour_and_what_their_size_needs)
{
    static const struct descriptor none = {.size = 0};
    static const struct descriptor largest[] = {{.size = 1 << 30},
                                                {.size = MANIFEST_IMAGE_BYTES_MAX - (1 << 30)}};
    EXPECT_INT(3600 * USEC_PER_SEC, blobs_time_max(&none, 1));
    EXPECT_INT((3600 + MANIFEST_IMAGE_BYTES_MAX / BLOBS_BYTES_A_SECOND) * USEC_PER_SEC,
               blobs_time_max(largest, 2));
}
