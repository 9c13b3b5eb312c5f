// SPDX-License-Identifier: Apache-2.0
#include "registry/answer.h"

#include "data/json.h"

#include <strings.h>

static bool is_header(struct str name, const char *want)
{
    return name.n == strlen(want) && strncasecmp(name.p, want, name.n) == 0;
}

static void copy_text(char *to, size_t size, struct str value)
{
    value = str_sub(value, 0, size - 1);
    if (value.n > 0) { /* a name without a colon has no value at all */
        memcpy(to, value.p, value.n);
    }
    to[value.n] = '\0';
}

void answer_head_line(struct transfer_head *head, struct str line)
{
    struct str value = line;
    if (str_starts(line, S("HTTP/"))) { /* of a redirect's target, or after 100 Continue */
        buf_clear(&head->challenges);
        struct buf keep = head->challenges;
        *head = (struct transfer_head){.challenges = keep};
        return;
    }
    struct str name = str_cut(&value, ':');
    value = str_trim(value);
    if (is_header(name, "content-length")) {
        head->has_length = str_to_u64(value, &head->length) == 0;
    } else if (is_header(name, "content-type")) {
        copy_text(head->content_type, sizeof head->content_type, value);
    } else if (is_header(name, "docker-content-digest")) {
        copy_text(head->digest, sizeof head->digest, value);
    } else if (is_header(name, "content-range") && str_starts(value, S("bytes "))) {
        value = str_sub(value, sizeof "bytes " - 1, value.n);
        head->has_range_start = str_to_u64(str_cut(&value, '-'), &head->range_start) == 0;
    } else if (is_header(name, "www-authenticate")) {
        (void)buf_addf(&head->challenges, "%s" STR_FMT, head->challenges.n > 0 ? ", " : "",
                       STR_ARG(value));
    }
}

int answer_body_start(const struct transfer_head *head, uint64_t asked, uint64_t size,
                      uint64_t *ret, struct err *err)
{
    uint64_t start = head->status == 206 ? asked : 0; /* 200: all of it comes again */
    if (head->status == 206 && (!head->has_range_start || head->range_start != asked)) {
        return err_set(err, ERR_INVALID,
                       "asked from byte %llu on, the registry sends another range",
                       (unsigned long long)asked);
    }
    if (head->has_length && head->length != size - start) {
        return err_set(err, ERR_INVALID,
                       "the registry announces %llu bytes (Content-Length), the manifest %llu",
                       (unsigned long long)head->length, (unsigned long long)(size - start));
    }
    *ret = start;
    return 0;
}

bool answer_is_token_server(struct str url, struct str realm)
{
    return str_starts(realm, S("https://")) ||
           (str_starts(realm, S("http://")) && !str_starts(url, S("https://")));
}

static bool is_printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] > '~') {
            return false;
        }
    }
    return s.n > 0;
}

int answer_token(struct str body, struct arena *arena, struct str *ret, struct err *err)
{
    struct val v;
    if (json_read(body, arena, NULL, &v, err) < 0) {
        return err_set(err, ERR_INVALID, "expected JSON");
    }
    struct str token = val_text_at(&v, "token");
    token = token.n > 0 ? token : val_text_at(&v, "access_token");
    if (!is_printable(token)) {
        return err_set(err, ERR_INVALID, "there is no token in it");
    }
    *ret = token;
    return 0;
}
