// SPDX-License-Identifier: Apache-2.0
//
// What registries and token servers answer, by the first byte: the head of a blob with its length
// and range, a token, the address of a token server, an image's configuration, a refusal. What is
// taken can be sent in a header, names directories, and agrees with what was asked for.
#include "fuzz.h"

#include "base/arena.h"
#include "base/limits.h"
#include "data/json.h"
#include "node/image_load.h"
#include "registry/answer.h"
#include "registry/digest.h"
#include "registry/origin.h"

#include <string.h>

/* The first two bytes are where a transfer goes on and how much there is; the rest are lines. */
static void try_head(struct arena *arena, struct str text)
{
    static const char after[] = "HTTP/1.1 307 Temporary Redirect\r\n";
    struct transfer_head head = {.status = 206};
    struct err err;
    uint64_t start;
    (void)arena;
    if (text.n < 2) {
        return;
    }
    uint64_t size = (unsigned char)text.p[0];
    uint64_t asked = (unsigned char)text.p[1] % (size + 1);
    struct str rest = str_sub(text, 2, text.n);
    buf_init(&head.challenges, ANSWER_HEADER_MAX);
    while (rest.p != NULL) {
        answer_head_line(&head, str_cut(&rest, '\n'));
    }
    must(memchr(head.content_type, '\0', sizeof head.content_type) != NULL);
    must(memchr(head.digest, '\0', sizeof head.digest) != NULL);
    must(head.challenges.n <= ANSWER_HEADER_MAX);
    for (int status = 200; status <= 206; status += 6) {
        head.status = status;
        if (answer_body_start(&head, asked, size, &start, &err) < 0) {
            must(err.code == ERR_INVALID && err.msg[0] != '\0');
            continue;
        }
        must(start == (status == 200 ? 0 : asked));
        must(!head.has_length || start + head.length == size);
        must(status == 200 || (head.has_range_start && head.range_start == asked));
    }
    answer_head_line(&head, str_of(after));
    must(!head.has_length && !head.has_range_start && head.digest[0] == '\0' &&
         head.challenges.n == 0);
    buf_done(&head.challenges);
}

static void try_token(struct arena *arena, struct str text)
{
    struct str token;
    struct err err;
    if (answer_token(text, arena, &token, &err) == 0) {
        must(token.n > 0);
        for (size_t i = 0; i < token.n; i++) {
            must(token.p[i] > ' ' && token.p[i] <= '~');
        }
    }
}

static void try_token_server(struct arena *arena, struct str text)
{
    (void)arena;
    bool over_tls = answer_is_token_server(S("https://reg.example"), text);
    bool plain = answer_is_token_server(S("http://127.0.0.1:5000"), text);
    must(!over_tls || str_starts(text, S("https://")));
    must(!plain || str_starts(text, S("https://")) || str_starts(text, S("http://")));
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static void try_config(struct arena *arena, struct str text)
{
    struct str chains[IMAGE_LAYERS_MAX];
    struct val v;
    struct err err;
    if (json_read(text, arena, NULL, &v, &err) < 0) {
        return;
    }
    size_t count = val_count(val_path(&v, "rootfs.diff_ids"));
    must(image_chains(&v, count + 1, arena, chains, &err) < 0);
    if (count > IMAGE_LAYERS_MAX || image_chains(&v, count, arena, chains, &err) < 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        must(chains[i].n == 64);
        for (size_t k = 0; k < chains[i].n; k++) {
            must(is_hex(chains[i].p[k]));
        }
        for (size_t k = 0; k < i; k++) {
            must(!str_eq(chains[i], chains[k])); /* a chain has all that is below it */
        }
    }
    if (count > 0) {
        struct str first = val_text_at(&v, "rootfs.diff_ids.0");
        must(str_eq(digest_hex(first), chains[0]));
    }
}

static void try_refusal(struct arena *arena, struct str text)
{
    static const int statuses[] = {401, 404, 429, 502, 999};
    (void)arena;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        const struct transfer_head head = {.status = statuses[i]};
        struct err err = {0};
        must(origin_refusal(&head, text, &err) < 0 && err.msg[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parsers[])(struct arena * arena, struct str text) = {
        try_head, try_token, try_token_server, try_config, try_refusal};
    auto_arena struct arena *arena = arena_new(16 << 20);
    if (size > 0 && size < 1 << 16) {
        parsers[data[0] % (sizeof parsers / sizeof parsers[0])](
            arena, (struct str){(const char *)data + 1, size - 1});
    }
    return 0;
}
