// SPDX-License-Identifier: Apache-2.0
//
// The image store starts /proc/self/exe as its worker; in tests that is the test program.
#include "node/image.h"

#include <string.h>

__attribute__((constructor)) static void become_worker(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "image-worker") == 0) {
        image_worker_main();
    }
}
