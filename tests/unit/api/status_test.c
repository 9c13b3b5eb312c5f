// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include "api/status.h"
#include "base/limits.h"
#include "base/mem.h"

/* A value is shown up to a whole character; it is still UTF-8 and names what it is. */
TEST(a_long_value_is_shown_in_part)
{
    auto_arena struct arena *arena = arena_new(1 << 22);
    struct causes causes;
    auto_buf struct buf text;
    buf_init(&text, 1 << 20);
    while (text.n < 2 * VALUE_SHOWN_MAX) {
        (void)buf_add(&text, S("\u00e4\u20ac"));
    }
    for (size_t shift = 0; shift < 5; shift++) {
        struct val value = val_str(str_sub(buf_str(&text), shift, text.n));
        causes_init(&causes, arena);
        cause_add(&causes, CAUSE_INVALID, S("spec.x"), &value, S("too long"));
        struct str message = causes.list[0].message;
        ptrdiff_t dots = str_search(message, S("...: too long"));
        EXPECT(dots > 0 && dots <= (ptrdiff_t)(VALUE_SHOWN_MAX + sizeof "Invalid value: "));
        bool is_whole = (unsigned char)message.p[dots - 1] == 0xac ||
                        (unsigned char)message.p[dots - 1] == 0xa4; /* the last bytes of the two */
        EXPECT(is_whole);
    }
}

TEST(errors_end_where_nobody_reads_on)
{
    auto_arena struct arena *arena = arena_new(64 << 20);
    struct causes causes;
    auto_buf struct buf text;
    buf_init(&text, 1 << 20);
    while (text.n < 2 * VALUE_SHOWN_MAX) {
        (void)buf_addc(&text, 'x');
    }
    const struct val values[] = {val_str(buf_str(&text)), val_str(S("x"))};
    const size_t most[] = {CAUSES_BYTES_MAX / VALUE_SHOWN_MAX + 1, CAUSES_MAX};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        causes_init(&causes, arena);
        for (size_t k = 0; k < 2 * CAUSES_MAX; k++) {
            cause_add(&causes, CAUSE_INVALID, S("spec.x"), &values[i], S("bad"));
        }
        EXPECT(causes.count > 1 && causes.count <= most[i]);
    }
}
