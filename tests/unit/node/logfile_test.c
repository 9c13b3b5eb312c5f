// SPDX-License-Identifier: Apache-2.0
#include "test.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "node/logfile.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define T "2026-11-22T15:57:5"

static const char log_text[] = T "7.374538999+00:00 stdout F one\n" T "7.5+00:00 stderr F two\n"
                                 "no log line\n" T "8.1Z stdout P th\n" T "8.2Z stdout P re\n" T
                                 "8.3Z stdout F e\n" T "9.000000001+03:00 stdout F \n";

TEST(logs_are_read_as_kubectl_prints_them)
{
    static const struct {
        const char *stream, *since;
        int64_t limit;
        bool has_timestamps;
        const char *want;
    } cases[] = {
        {"",       NULL,                     -1, false, "one\ntwo\nthree\n\n"},
        {"All",    NULL,                     -1, false, "one\ntwo\nthree\n\n"},
        {"Stderr", NULL,                     -1, false, "two\n"              },
        {"Stdout", NULL,                     6,  false, "one\nth"            },
        {"",       NULL,                     0,  false, ""                   },
        {"",       "2026-11-22T15:57:57.5Z", 4,  false, "two\n"              },
        {"",       NULL,                     -1, true,
         T "7.374538999Z one\n" T "7.500000000Z two\n" T "8.100000000Z three\n" T
           "9.000000001+03:00 \n"                                            },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        /* Whole, and byte by byte: the pieces must not matter. */
        for (size_t step = 1; step <= sizeof log_text; step += sizeof log_text - 1) {
            struct log_reader r;
            auto_buf struct buf out;
            usec since = 0;
            buf_init(&out, 4096);
            if (cases[i].since != NULL) {
                EXPECT_INT(0, time_parse(str_of(cases[i].since), &since));
            }
            log_reader_init(&r, str_of(cases[i].stream), since, cases[i].limit,
                            cases[i].has_timestamps);
            for (size_t at = 0; at < sizeof log_text - 1; at += step) {
                log_reader_feed(&r, str_sub(str_of(log_text), at, at + step), &out);
            }
            log_reader_done(&r);
            EXPECT_STR(cases[i].want, buf_str(&out));
        }
    }
}

TEST(a_tail_begins_at_a_line)
{
    static const struct {
        const char *text;
        int64_t lines, want;
    } cases[] = {
        {"a\nb\nc\n", -1, 0},
        {"a\nb\nc\n", 0,  6},
        {"a\nb\nc\n", 1,  4},
        {"a\nb\nc\n", 2,  2},
        {"a\nb\nc\n", 3,  0},
        {"a\nb\nc\n", 9,  0},
        {"a\nb\nc",   1,  4},
        {"",          5,  0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err;
        int64_t offset = -1;
        auto_close int fd = memfd_create("log", MFD_CLOEXEC);
        EXPECT_INT(strlen(cases[i].text), write(fd, cases[i].text, strlen(cases[i].text)));
        EXPECT_OK(logfile_tail(fd, cases[i].lines, &offset, &err));
        EXPECT_INT(cases[i].want, offset);
    }
}
