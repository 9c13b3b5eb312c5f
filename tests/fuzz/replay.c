// SPDX-License-Identifier: Apache-2.0
//
// A fuzz target without a fuzzer: runs every seed of a corpus, and each seed cut short at many
// places, through LLVMFuzzerTestOneInput. The program's name says which corpus: <name>_corpus reads
// tests/fuzz/corpus/<name>. Prints what a unit test prints, so that it counts as one.
#include "base/err.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CUTS_MAX = 4096 }; /* of all seeds together: longer ones are cut at steps */

/* A copy of its own for each length: the sanitizer sees a read behind the end. */
static void run_bytes(struct str seed, size_t size)
{
    uint8_t *bytes = xmalloc(size + (size == 0));
    memcpy(bytes, seed.p, size);
    (void)LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
}

static int run_seed(int dir, const char *name, size_t cuts_max, struct err *err)
{
    auto_buf struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    if (file_read(dir, name, &text, err) < 0) {
        return err_wrap(err, "seed %s", name);
    }
    size_t step = text.n / cuts_max + 1;
    for (size_t size = 0; size < text.n; size += step) {
        run_bytes(buf_str(&text), size);
    }
    run_bytes(buf_str(&text), text.n);
    return 0;
}

static int run_corpus(const char *path, size_t *ret_count, struct err *err)
{
    struct dirent **seeds = NULL;
    int n = scandir(path, &seeds, NULL, alphasort);
    auto_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = n < 0 || dir < 0 ? err_errno(err, "corpus %s", path) : 0;
    *ret_count = 0;
    for (int i = 0; i < n; i++) {
        if (rc == 0 && seeds[i]->d_name[0] != '.') {
            rc = run_seed(dir, seeds[i]->d_name, (size_t)(CUTS_MAX / n + 1), err);
            ++*ret_count;
        }
        free(seeds[i]);
    }
    free(seeds);
    return rc;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    size_t count = 0;
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    struct str name = str_of(slash != NULL ? slash + 1 : argv[0]);
    if (!str_ends(name, S("_corpus"))) {
        (void)fprintf(stderr, "%s: the name has to end in _corpus\n", argv[0]);
        return 1;
    }
    struct str target = str_sub(name, 0, name.n - strlen("_corpus"));
    auto_free char *path = xasprintf("tests/fuzz/corpus/" STR_FMT, STR_ARG(target));
    if (run_corpus(path, &count, &err) < 0 || count == 0) {
        (void)fprintf(stderr, "%s: %s\n", path, count == 0 ? "no seeds" : err.msg);
        return 1;
    }
    (void)printf("[       OK ] " STR_FMT ": %zu seeds\n", STR_ARG(name), count);
    return 0;
}
