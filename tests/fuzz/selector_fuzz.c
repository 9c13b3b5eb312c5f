// SPDX-License-Identifier: Apache-2.0
//
// Input: a selector, a zero byte, labels as JSON. A label selector that parses is written in a form
// that parses to the same form and matches the same labels. A field selector matches an object when
// each of its clauses, parsed alone, does.
#include "fuzz.h"

#include "api/selector.h"
#include "base/limits.h"
#include "data/json.h"

static void check_labels(struct arena *arena, struct str text, const struct val *labels)
{
    struct selector *first;
    struct selector *second;
    struct err err = {0};
    if (selector_parse(arena, text, &first, &err) < 0) {
        must(err.code == ERR_SYNTAX && err.msg[0] != '\0');
        return;
    }
    struct str form = selector_format(arena, first);
    must(selector_parse(arena, form, &second, &err) == 0);
    must(str_eq(form, selector_format(arena, second)));
    must(selector_matches(first, labels) == selector_matches(second, labels));
    must(selector_matches(first, NULL) == selector_matches(second, NULL));
    must(selector_is_everything(first) == (form.n == 0));
}

static const struct val *pod_of(struct arena *arena, const struct val *labels)
{
    struct val *pod = arena_alloc(arena, sizeof *pod);
    *pod = val_map();
    (void)val_set_path(arena, pod, "metadata.name", val_str(S("web-0")));
    (void)val_set_path(arena, pod, "metadata.namespace", val_str(S("default")));
    (void)val_set_path(arena, pod, "status.phase", val_str(S("Running")));
    (void)val_set_path(arena, pod, "spec.nodeName", val_str(val_text(val_at(labels, 0))));
    return pod;
}

static void check_fields(struct arena *arena, struct str text, const struct val *labels)
{
    const struct kind *kind = kind_of(KIND_POD);
    const struct val *pod = pod_of(arena, labels);
    struct field_selector *whole;
    struct err err = {0};
    if (field_selector_parse(arena, kind, text, &whole, &err) < 0) {
        must(err.code < 0 && err.msg[0] != '\0');
        return;
    }
    bool is_match = field_selector_matches(arena, whole, pod);
    struct str name = field_selector_name(whole);
    must(name.n == 0 || !is_match || str_eq(name, S("web-0")));
    if (str_find(text, '\\') >= 0) { /* a comma may be escaped */
        return;
    }
    bool do_all = true;
    while (text.p != NULL) {
        struct field_selector *clause;
        must(field_selector_parse(arena, kind, str_cut(&text, ','), &clause, &err) == 0);
        do_all = do_all && field_selector_matches(arena, clause, pod);
    }
    must(is_match == do_all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct str rest = {(const char *)data, size};
    struct str text = str_cut(&rest, '\0');
    struct val labels = val_map();
    struct err err;
    if (rest.n > 0 && json_read(rest, arena, NULL, &labels, &err) < 0) {
        labels = val_map();
    }
    check_labels(arena, text, &labels);
    check_fields(arena, text, &labels);
    return 0;
}
