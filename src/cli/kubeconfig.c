// SPDX-License-Identifier: Apache-2.0
//
// Kubeconfig files (client-go's clientcmd v1 Config): one cluster, user and context of ours among
// the user's own. Everything else in the file is kept.
#include "base/enc.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/internal.h"
#include "data/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

static int read_base64(struct cli *cli, const char *name, struct str *ret, struct err *err)
{
    auto_buf struct buf pem;
    auto_buf struct buf text;
    buf_init(&pem, FILE_BYTES_MAX);
    buf_init(&text, FILE_BYTES_MAX);
    const char *path = arena_fmt(cli->arena, STR_FMT "/pki/%s", STR_ARG(cli->data), name).p;
    if (file_read(AT_FDCWD, path, &pem, err) < 0 || base64_encode(&text, buf_str(&pem)) < 0) {
        return err_wrap(err, "no such cluster: run `coracle up` first");
    }
    *ret = arena_dup(cli->arena, buf_str(&text));
    return 0;
}

/* {"name": name, <key>: body} */
static struct val named(struct arena *arena, struct str name, struct str key, struct val body)
{
    struct val v = val_map();
    (void)val_set(arena, &v, S("name"), val_str(name));
    (void)val_set(arena, &v, key, body);
    return v;
}

int kubeconfig_make(struct cli *cli, struct str server, struct val *ret, struct err *err)
{
    struct arena *a = cli->arena;
    struct str name = cluster_context(cli);
    struct str ca = {0};
    struct str cert = {0};
    struct str key = {0};
    if (read_base64(cli, "ca.crt", &ca, err) < 0 || read_base64(cli, "admin.crt", &cert, err) < 0 ||
        read_base64(cli, "admin.key", &key, err) < 0) {
        return err->code;
    }
    struct val cluster = val_map();
    (void)val_set(a, &cluster, S("server"), val_str(server));
    (void)val_set(a, &cluster, S("certificate-authority-data"), val_str(ca));
    struct val user = val_map();
    (void)val_set(a, &user, S("client-certificate-data"), val_str(cert));
    (void)val_set(a, &user, S("client-key-data"), val_str(key));
    struct val context = val_map();
    (void)val_set(a, &context, S("cluster"), val_str(name));
    (void)val_set(a, &context, S("user"), val_str(name));

    struct val v = val_map();
    (void)val_set(a, &v, S("apiVersion"), val_str(S("v1")));
    (void)val_set(a, &v, S("kind"), val_str(S("Config")));
    (void)val_push(a, val_need_list(a, &v, S("clusters")), named(a, name, S("cluster"), cluster));
    (void)val_push(a, val_need_list(a, &v, S("users")), named(a, name, S("user"), user));
    (void)val_push(a, val_need_list(a, &v, S("contexts")), named(a, name, S("context"), context));
    (void)val_set(a, &v, S("current-context"), val_str(name));
    *ret = v;
    return 0;
}

static struct str user_file(struct cli *cli, struct err *err)
{
    const char *listed = getenv("KUBECONFIG");
    const char *home = getenv("HOME");
    struct str rest = str_of(listed);
    while (listed != NULL && rest.p != NULL) {
        struct str first = str_cut(&rest, ':');
        if (first.n > 0) {
            return arena_dup(cli->arena, first);
        }
    }
    if (home == NULL) {
        (void)err_set(err, ERR_NOT_FOUND, "HOME is not set: use --kubeconfig FILE");
        return S("");
    }
    return arena_fmt(cli->arena, "%s/.kube/config", home);
}

static const struct str sections[] = {
    {"clusters", 8},
    {"users",    5},
    {"contexts", 8}
};

/* What isn't of the form of a kubeconfig is not ours to mend. */
static int check_shape(struct str path, struct val *config, struct err *err)
{
    if (!val_is(config, VAL_MAP)) {
        return err_set(err, ERR_SYNTAX, "kubeconfig '%s': expected a map at the top", path.p);
    }
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        const struct val *list = val_get(config, sections[i]);
        if (val_is(list, VAL_NULL)) {
            (void)val_remove(config, sections[i]);
        } else if (list != NULL && !val_is(list, VAL_LIST)) {
            return err_set(err, ERR_SYNTAX, "kubeconfig '%s': expected a list under " STR_FMT,
                           path.p, STR_ARG(sections[i]));
        }
    }
    return 0;
}

/* An absent or empty file is an empty configuration. */
static int read_config(struct cli *cli, struct str path, struct val *ret, struct err *err)
{
    struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    int r = file_read(AT_FDCWD, path.p, &text, err);
    if (r == ERR_NOT_FOUND) {
        *ret = val_map();
        return 0;
    }
    if (r < 0) {
        buf_done(&text);
        return r;
    }
    struct str kept = arena_dup(cli->arena, buf_str(&text));
    buf_done(&text);
    if (yaml_read(kept, cli->arena, NULL, ret, err) < 0) {
        return err_wrap(err, "kubeconfig '%s'", path.p);
    }
    if (val_is(ret, VAL_NULL)) {
        *ret = val_map();
    }
    return check_shape(path, ret, err);
}

static int write_config(struct str path, const struct val *config, struct err *err)
{
    auto_buf struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    ptrdiff_t slash = str_rfind(path, '/');
    auto_free char *dir = xstrndup(path.p, slash > 0 ? (size_t)slash : 1);
    if (slash > 0 && dir_make_all(dir, 0700, err) < 0) {
        return err->code;
    }
    if (yaml_write(&text, config, err) < 0) {
        return err->code;
    }
    return file_write_atomic(AT_FDCWD, path.p, buf_str(&text), 0600, err);
}

/* Removes the entries called name; true when there was one. */
static bool remove_entries(struct val *config, struct str name)
{
    bool was_there = false;
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        struct val *list = val_slot(config, sections[i]);
        for (size_t at = val_count(list); val_is(list, VAL_LIST) && at > 0; at--) {
            if (str_eq(val_text(val_get(val_at(list, at - 1), S("name"))), name)) {
                val_drop(list, at - 1);
                was_there = true;
            }
        }
    }
    return was_there;
}

int kubeconfig_merge(struct cli *cli, struct str server, struct str *ret_path, struct err *err)
{
    struct val ours;
    struct val config;
    struct str path = user_file(cli, err);
    if (path.n == 0 || kubeconfig_make(cli, server, &ours, err) < 0 ||
        read_config(cli, path, &config, err) < 0) {
        return err->code;
    }
    (void)remove_entries(&config, cluster_context(cli));
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        struct val *list = val_need_list(cli->arena, &config, sections[i]);
        (void)val_push(cli->arena, list, *val_at(val_get(&ours, sections[i]), 0));
    }
    (void)val_set(cli->arena, &config, S("apiVersion"), val_str(S("v1")));
    (void)val_set(cli->arena, &config, S("kind"), val_str(S("Config")));
    (void)val_set(cli->arena, &config, S("current-context"), val_str(cluster_context(cli)));
    *ret_path = path;
    return write_config(path, &config, err);
}

int kubeconfig_remove(struct cli *cli, struct err *err)
{
    struct val config;
    struct str path = user_file(cli, err);
    if (path.n == 0) {
        return 0;
    }
    if (read_config(cli, path, &config, err) < 0) {
        return err->code;
    }
    if (!remove_entries(&config, cluster_context(cli))) {
        return 0;
    }
    if (str_eq(val_text(val_get(&config, S("current-context"))), cluster_context(cli))) {
        (void)val_remove(&config, S("current-context"));
    }
    return write_config(path, &config, err);
}
