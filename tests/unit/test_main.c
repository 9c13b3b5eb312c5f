// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

enum { TESTS_MAX = 2000 };

static struct CMUnitTest tests[TESTS_MAX];
static size_t tests_count;

void test_register(const char *name, void (*fn)(void **state))
{
    if (tests_count == TESTS_MAX) {
        abort();
    }
    tests[tests_count++] = (struct CMUnitTest){name, fn, NULL, NULL, NULL};
}

void test_fail_text(const char *what, struct str want, struct str got, const char *file, int line)
{
    print_error("%s\n  want: " STR_FMT "\n  got:  " STR_FMT "\n", what, STR_ARG(want),
                STR_ARG(got));
    _fail(file, line);
}

static int by_name(const void *a, const void *b)
{
    const struct CMUnitTest *x = a;
    const struct CMUnitTest *y = b;
    return strcmp(x->name, y->name);
}

/* Usage: program [pattern]; pattern is cmocka's filter with * and ?. */
int main(int argc, char **argv)
{
    qsort(tests, tests_count, sizeof tests[0], by_name);
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return _cmocka_run_group_tests("unit", tests, tests_count, NULL, NULL);
}
