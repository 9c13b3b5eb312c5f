// SPDX-License-Identifier: Apache-2.0
//
// Unit tests on cmocka. TEST(name) registers itself; test_main.c runs all tests of the program,
// sorted by name. EXPECT_* print both values and end the test on failure.
#ifndef CORACLE_TESTS_UNIT_TEST_H
#define CORACLE_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

void test_register(const char *name, void (*fn)(void **state));
void test_fail_text(const char *what, struct str want, struct str got, const char *file, int line);

#define TEST(name)                                                                                 \
    static void test_##name(void **state);                                                         \
    __attribute__((constructor)) static void test_register_##name(void)                            \
    {                                                                                              \
        test_register(#name, test_##name);                                                         \
    }                                                                                              \
    static void test_##name(__attribute__((unused)) void **state)

#define EXPECT(expr)          assert_true(expr)
#define EXPECT_INT(want, got) assert_int_equal(want, got)
/* Strings: want is a literal or char *, got a struct str. */
#define EXPECT_STR(want, got)                                                                      \
    do {                                                                                           \
        struct str want_ = str_of(want);                                                           \
        struct str got_ = (got);                                                                   \
        if (!str_eq(want_, got_)) {                                                                \
            test_fail_text(#got, want_, got_, __FILE__, __LINE__);                                 \
        }                                                                                          \
    } while (0)
/* A call that must succeed with `struct err err` in scope; prints the message when it does not. */
#define EXPECT_OK(call)                                                                            \
    do {                                                                                           \
        if ((call) < 0) {                                                                          \
            test_fail_text(#call, S("success"), str_of(err.msg), __FILE__, __LINE__);              \
        }                                                                                          \
    } while (0)

#endif
