// SPDX-License-Identifier: Apache-2.0
//
// The program: a command line for people, and two entries for itself.
#include "brain.h"
#include "cli/cli.h"
#include "node/image.h"

#include <string.h>

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "brain") == 0) {
        return brain_main(argc - 2, argv + 2);
    }
    if (argc > 1 && strcmp(argv[1], "image-worker") == 0) {
        image_worker_main();
    }
    return cli_main(argc, argv);
}
