// SPDX-License-Identifier: Apache-2.0
#include "node/logfile.h"

#include "base/timefmt.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL_CHUNK = 8192 };

void log_reader_init(struct log_reader *r, struct str stream, usec since_wall, int64_t limit_bytes,
                     bool has_timestamps)
{
    *r = (struct log_reader){.has_timestamps = has_timestamps,
                             .is_stdout_wanted = !str_eq(stream, S("Stderr")),
                             .is_stderr_wanted = !str_eq(stream, S("Stdout")),
                             .limit_bytes = limit_bytes,
                             .since_wall = since_wall};
    buf_init(&r->line, LOG_LINE_MAX);
}

void log_reader_done(struct log_reader *r)
{
    buf_done(&r->line);
}

bool log_reader_is_full(const struct log_reader *r)
{
    return r->limit_bytes == 0;
}

static void put(struct log_reader *r, struct buf *out, struct str bytes)
{
    if (r->limit_bytes >= 0 && (int64_t)bytes.n > r->limit_bytes) {
        bytes.n = (size_t)r->limit_bytes;
    }
    (void)buf_add(out, bytes);
    r->limit_bytes -= r->limit_bytes >= 0 ? (int64_t)bytes.n : 0;
}

/* RFC 3339 with nine digits, "Z" for no offset: what Go prints for any fraction. */
static void put_time(struct log_reader *r, struct buf *out, struct str time)
{
    static const char zeros[] = "000000000";
    enum { SECONDS_LEN = sizeof "2006-01-02T15:04:05" - 1, DIGITS = sizeof zeros - 1 };
    struct str zone = str_sub(time, SECONDS_LEN, time.n);
    struct str fraction = {0};
    if (zone.n > 0 && zone.p[0] == '.') {
        size_t n = 1;
        while (n < zone.n && zone.p[n] >= '0' && zone.p[n] <= '9') {
            n++;
        }
        fraction = str_sub(zone, 1, n < DIGITS + 1 ? n : DIGITS + 1);
        zone = str_sub(zone, n, zone.n);
    }
    put(r, out, str_sub(time, 0, SECONDS_LEN));
    put(r, out, S("."));
    put(r, out, fraction);
    put(r, out, (struct str){zeros, DIGITS - fraction.n});
    put(r, out, str_eq(zone, S("+00:00")) ? S("Z") : zone);
    put(r, out, S(" "));
}

static void read_line(struct log_reader *r, struct str line, struct buf *out)
{
    struct str rest = line;
    struct str time = str_cut(&rest, ' ');
    struct str stream = str_cut(&rest, ' ');
    struct str tags = str_cut(&rest, ' ');
    usec wall;
    if (tags.n == 0 || rest.p == NULL || time_parse(time, &wall) < 0) {
        return;
    }
    bool is_wanted = str_eq(stream, S("stdout"))   ? r->is_stdout_wanted
                     : str_eq(stream, S("stderr")) ? r->is_stderr_wanted
                                                   : false;
    if (!is_wanted || wall < r->since_wall) {
        return;
    }
    bool is_partial = tags.p[0] == 'P' && (tags.n == 1 || tags.p[1] == ':');
    if (r->has_timestamps && !r->is_mid_line) {
        put_time(r, out, time);
    }
    put(r, out, rest);
    if (!is_partial) {
        put(r, out, S("\n"));
    }
    r->is_mid_line = is_partial;
}

void log_reader_feed(struct log_reader *r, struct str bytes, struct buf *out)
{
    while (bytes.n > 0 && !log_reader_is_full(r)) {
        ptrdiff_t end = str_find(bytes, '\n');
        if (end < 0) {
            if (buf_add(&r->line, bytes) < 0) {
                buf_clear(&r->line);
            }
            return;
        }
        struct str head = str_sub(bytes, 0, (size_t)end);
        bytes = str_sub(bytes, (size_t)end + 1, bytes.n);
        if (r->line.n == 0) {
            read_line(r, head, out);
        } else {
            if (buf_add(&r->line, head) == 0) {
                read_line(r, buf_str(&r->line), out);
            }
            buf_clear(&r->line);
        }
    }
}

int logfile_tail(int fd, int64_t lines, int64_t *ret_offset, struct err *err)
{
    struct stat st;
    char chunk[TAIL_CHUNK];
    if (fstat(fd, &st) < 0) {
        return err_errno(err, "stat log");
    }
    int64_t at = st.st_size;
    bool is_last_byte = true;
    *ret_offset = lines < 0 ? 0 : at;
    if (lines <= 0) {
        return 0;
    }
    while (at > 0) {
        int64_t begin = at > TAIL_CHUNK ? at - TAIL_CHUNK : 0;
        ssize_t n = pread(fd, chunk, (size_t)(at - begin), begin);
        if (n < at - begin) {
            return err_errno(err, "read log");
        }
        for (; n > 0; n--) {
            /* The newline that ends the file ends its last line; it begins none. */
            if (chunk[n - 1] == '\n' && !is_last_byte && lines-- == 1) {
                *ret_offset = begin + n;
                return 0;
            }
            is_last_byte = false;
        }
        at = begin;
    }
    *ret_offset = 0;
    return 0;
}
