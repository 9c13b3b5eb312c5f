// SPDX-License-Identifier: Apache-2.0
//
// Building a container's environment in the order of spec/node.md 3.2; later entries win.
#include "node/pod_env.h"

#include "base/enc.h"
#include "base/limits.h"

void env_set(struct env_list *env, struct str name, struct str value)
{
    for (size_t i = 0; i < env->count; i++) {
        if (str_eq(env->vars[i].name, name)) {
            env->vars[i].value = value;
            return;
        }
    }
    if (env->count == env->cap) {
        size_t cap = env->cap ? env->cap * 2 : 32;
        struct env_var *vars = arena_alloc(env->arena, cap * sizeof *vars);
        if (env->count) {
            memcpy(vars, env->vars, env->count * sizeof *vars);
        }
        env->vars = vars;
        env->cap = cap;
    }
    env->vars[env->count++] = (struct env_var){name, value};
}

const struct env_var *env_find(const struct env_list *env, struct str name)
{
    for (size_t i = 0; i < env->count; i++) {
        if (str_eq(env->vars[i].name, name)) {
            return &env->vars[i];
        }
    }
    return NULL;
}

/* --- $(VAR) --- */

/* Expands into out; an unknown variable stays as it is, or (missing not NULL) is reported there. */
static void expand(const struct env_list *env, struct str text, struct buf *out,
                   struct str *missing)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c != '$' || i + 1 == text.n) {
            buf_addc(out, c);
            continue;
        }
        char next = text.p[i + 1];
        if (next == '$') {
            buf_addc(out, '$');
            i++;
            continue;
        }
        struct str rest = str_sub(text, i + 2, text.n);
        ptrdiff_t end = next == '(' ? str_find(rest, ')') : -1;
        if (end < 0) {
            buf_addc(out, '$');
            continue;
        }
        struct str name = str_sub(rest, 0, (size_t)end);
        const struct env_var *var = env_find(env, name);
        if (missing && missing->p == NULL && (!var || var->value.n == 0)) {
            *missing = name;
        }
        buf_add(out, var ? var->value : str_sub(text, i, i + (size_t)end + 3));
        i += (size_t)end + 2;
    }
}

struct str env_expand(const struct env_list *env, struct str text, struct arena *arena)
{
    if (str_find(text, '$') < 0) {
        return text;
    }
    auto_buf struct buf out;
    buf_init(&out, BODY_BYTES_MAX);
    expand(env, text, &out, NULL);
    return arena_dup(arena, buf_str(&out));
}

int env_expand_strict(const struct env_list *env, struct str text, struct arena *arena,
                      struct str *ret, struct err *err)
{
    auto_buf struct buf out;
    struct str missing = {0};
    buf_init(&out, BODY_BYTES_MAX);
    expand(env, text, &out, &missing);
    if (missing.p) {
        return err_set(err, ERR_INVALID, "missing value for \"" STR_FMT "\"", STR_ARG(missing));
    }
    *ret = arena_dup(arena, buf_str(&out));
    return 0;
}

/* --- service variables --- */

struct service_walk {
    struct env_list *env;
    bool wants_all;
    bool is_default; /* walking the default namespace: only "kubernetes" */
};

static struct str env_name(struct arena *arena, struct str name)
{
    struct str out = arena_dup(arena, name);
    char *p = arena_alloc(arena, out.n + 1);
    for (size_t i = 0; i < out.n; i++) {
        char c = out.p[i];
        p[i] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    return (struct str){p, out.n};
}

static struct str lower(struct arena *arena, struct str s)
{
    char *p = arena_alloc(arena, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] - 'A' + 'a') : s.p[i];
    }
    return (struct str){p, s.n};
}

static void add_service_port(struct env_list *env, struct str up, struct str ip,
                             const struct val *port, bool is_first)
{
    struct arena *a = env->arena;
    long long number = (long long)val_number(val_get(port, S("port")), 0);
    struct str protocol = val_text(val_get(port, S("protocol")));
    protocol = protocol.n ? protocol : S("TCP");
    struct str low = lower(a, protocol);
    struct str name = val_text(val_get(port, S("name")));
    struct str url = arena_fmt(a, STR_FMT "://" STR_FMT ":%lld", STR_ARG(low), STR_ARG(ip), number);
    struct str digits = arena_fmt(a, "%lld", number);
    if (is_first) {
        env_set(env, arena_fmt(a, STR_FMT "_SERVICE_PORT", STR_ARG(up)), digits);
        env_set(env, arena_fmt(a, STR_FMT "_PORT", STR_ARG(up)), url);
    }
    if (name.n) {
        env_set(
            env,
            arena_fmt(a, STR_FMT "_SERVICE_PORT_" STR_FMT, STR_ARG(up), STR_ARG(env_name(a, name))),
            digits);
    }
    struct str base =
        arena_fmt(a, STR_FMT "_PORT_%lld_" STR_FMT, STR_ARG(up), number, STR_ARG(protocol));
    env_set(env, base, url);
    env_set(env, arena_fmt(a, STR_FMT "_PROTO", STR_ARG(base)), low);
    env_set(env, arena_fmt(a, STR_FMT "_PORT", STR_ARG(base)), digits);
    env_set(env, arena_fmt(a, STR_FMT "_ADDR", STR_ARG(base)), ip);
}

static bool add_service(void *ctx, struct object *object)
{
    struct service_walk *walk = ctx;
    const struct val *service = object_val(object);
    struct str name = val_text_at(service, "metadata.name");
    struct str ip = val_text_at(service, "spec.clusterIP");
    bool is_kubernetes = walk->is_default && str_eq(name, S("kubernetes"));
    if (ip.n == 0 || str_eq(ip, S("None")) || !(is_kubernetes || walk->wants_all)) {
        return true;
    }
    struct arena *a = walk->env->arena;
    struct str up = env_name(a, name);
    ip = arena_dup(a, ip);
    env_set(walk->env, arena_fmt(a, STR_FMT "_SERVICE_HOST", STR_ARG(up)), ip);
    const struct val *ports = val_path(service, "spec.ports");
    for (size_t i = 0; i < val_count(ports); i++) {
        add_service_port(walk->env, up, ip, val_at(ports, i), i == 0);
    }
    return true;
}

static void add_services(const struct pod_source *source, struct env_list *env)
{
    const struct val *links = val_path(source->pod, "spec.enableServiceLinks");
    bool wants_all = !links || val_is_true(links);
    struct str ns = val_text_at(source->pod, "metadata.namespace");
    struct service_walk walk = {.env = env, .is_default = true};
    source->client->ops->list(source->client, KIND_SERVICE, S("default"), add_service, &walk);
    if (wants_all) {
        walk = (struct service_walk){.env = env, .wants_all = true};
        source->client->ops->list(source->client, KIND_SERVICE, ns, add_service, &walk);
    }
}

/* --- envFrom and env --- */

static const struct val *get_object(const struct pod_source *source, enum kind_id kind,
                                    struct str name)
{
    struct object *object = source->client->ops->get(
        source->client, kind, val_text_at(source->pod, "metadata.namespace"), name);
    return object ? object_val(object) : NULL;
}

static int decoded(struct arena *arena, bool is_secret, const struct val *value, struct str *ret,
                   struct err *err)
{
    if (!is_secret) {
        *ret = arena_dup(arena, val_text(value));
        return 0;
    }
    auto_buf struct buf out;
    buf_init(&out, BODY_BYTES_MAX);
    int rc = base64_decode(&out, val_text(value));
    if (rc < 0) {
        return err_set(err, rc, "secret data is not base64");
    }
    *ret = arena_dup(arena, buf_str(&out));
    return 0;
}

static int add_from(const struct pod_source *source, const struct val *from, struct env_list *env,
                    struct err *err)
{
    const struct val *ref = val_get(from, S("configMapRef"));
    bool is_secret = !ref;
    if (is_secret) {
        ref = val_get(from, S("secretRef"));
    }
    struct str name = val_text(val_get(ref, S("name")));
    const struct val *object = get_object(source, is_secret ? KIND_SECRET : KIND_CONFIG_MAP, name);
    if (!object) {
        if (val_is_true(val_get(ref, S("optional")))) {
            return 0;
        }
        return err_set(err, ERR_NOT_FOUND, "%s \"" STR_FMT "\" not found",
                       is_secret ? "secret" : "configmap", STR_ARG(name));
    }
    const struct val *data = val_get(object, S("data"));
    struct str prefix = val_text(val_get(from, S("prefix")));
    for (size_t i = 0; val_is(data, VAL_MAP) && i < val_count(data); i++) {
        struct str value;
        if (str_find(data->members[i].key, '=') >= 0) {
            continue;
        }
        int rc = decoded(env->arena, is_secret, &data->members[i].val, &value, err);
        if (rc < 0) {
            return rc;
        }
        env_set(
            env,
            arena_fmt(env->arena, STR_FMT STR_FMT, STR_ARG(prefix), STR_ARG(data->members[i].key)),
            value);
    }
    return 0;
}

/* *ret_is_set false: optional and absent. */
static int key_ref(const struct pod_source *source, const struct val *ref, bool is_secret,
                   struct arena *arena, struct str *ret, bool *ret_is_set, struct err *err)
{
    struct str name = val_text(val_get(ref, S("name")));
    struct str key = val_text(val_get(ref, S("key")));
    bool is_optional = val_is_true(val_get(ref, S("optional")));
    const struct val *object = get_object(source, is_secret ? KIND_SECRET : KIND_CONFIG_MAP, name);
    const struct val *value = val_get(val_get(object, S("data")), key);
    *ret_is_set = value != NULL;
    if (value) {
        return decoded(arena, is_secret, value, ret, err);
    }
    if (is_optional) {
        return 0;
    }
    if (!object) {
        return err_set(err, ERR_NOT_FOUND, "%s \"" STR_FMT "\" not found",
                       is_secret ? "secret" : "configmap", STR_ARG(name));
    }
    return err_set(err, ERR_NOT_FOUND, "couldn't find key " STR_FMT " in %s " STR_FMT "/" STR_FMT,
                   STR_ARG(key), is_secret ? "Secret" : "ConfigMap",
                   STR_ARG(val_text_at(source->pod, "metadata.namespace")), STR_ARG(name));
}

static int add_var(const struct pod_source *source, const struct val *container,
                   const struct val *var, struct env_list *env, struct err *err)
{
    struct str name = val_text(val_get(var, S("name")));
    const struct val *from = val_get(var, S("valueFrom"));
    struct str value = S("");
    bool is_set = true;
    int rc = 0;
    if (!from) {
        value = env_expand(env, val_text(val_get(var, S("value"))), env->arena);
    } else if (val_get(from, S("fieldRef"))) {
        rc = field_ref(source, val_text_at(from, "fieldRef.fieldPath"), /*is_volume=*/false,
                       env->arena, &value, err);
    } else if (val_get(from, S("resourceFieldRef"))) {
        rc = resource_ref(source, val_get(from, S("resourceFieldRef")), container, env->arena,
                          &value, err);
    } else if (val_get(from, S("configMapKeyRef"))) {
        rc = key_ref(source, val_get(from, S("configMapKeyRef")), false, env->arena, &value,
                     &is_set, err);
    } else if (val_get(from, S("secretKeyRef"))) {
        rc = key_ref(source, val_get(from, S("secretKeyRef")), true, env->arena, &value, &is_set,
                     err);
    } else {
        return err_set(err, ERR_UNSUPPORTED,
                       "env \"" STR_FMT "\": this kind of valueFrom is not supported",
                       STR_ARG(name));
    }
    if (rc == 0 && is_set) {
        env_set(env, name, value);
    }
    return rc;
}

static void add_image_env(const struct val *image_config, struct env_list *env)
{
    const struct val *list = val_get(image_config, S("Env"));
    for (size_t i = 0; i < val_count(list); i++) {
        struct str rest = val_text(val_at(list, i));
        struct str name = str_cut(&rest, '=');
        env_set(env, name, rest.p ? rest : S(""));
    }
}

int env_build(const struct pod_source *source, const struct val *container,
              const struct val *image_config, struct str hostname, struct env_list *env,
              struct err *err)
{
    env_set(env, S("PATH"), S("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    env_set(env, S("HOSTNAME"), hostname);
    if (val_is_true(val_get(container, S("tty")))) {
        env_set(env, S("TERM"), S("xterm"));
    }
    add_image_env(image_config, env);
    add_services(source, env);
    const struct val *from = val_get(container, S("envFrom"));
    for (size_t i = 0; i < val_count(from); i++) {
        int rc = add_from(source, val_at(from, i), env, err);
        if (rc < 0) {
            return rc;
        }
    }
    const struct val *vars = val_get(container, S("env"));
    for (size_t i = 0; i < val_count(vars); i++) {
        int rc = add_var(source, container, val_at(vars, i), env, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

void env_static(const struct val *container, struct env_list *env)
{
    const struct val *vars = val_get(container, S("env"));
    for (size_t i = 0; i < val_count(vars); i++) {
        const struct val *var = val_at(vars, i);
        if (!val_get(var, S("valueFrom"))) {
            env_set(env, val_text(val_get(var, S("name"))),
                    env_expand(env, val_text(val_get(var, S("value"))), env->arena));
        }
    }
}

/* --- command line --- */

static void push_words(struct arena *arena, struct val *out, const struct val *words,
                       const struct env_list *env)
{
    for (size_t i = 0; i < val_count(words); i++) {
        struct str word = val_text(val_at(words, i));
        val_push(arena, out, val_str(env ? env_expand(env, word, arena) : word));
    }
}

int env_command(const struct val *container, const struct val *image_config,
                const struct env_list *env, struct arena *arena, struct val *ret, struct err *err)
{
    const struct val *command = val_get(container, S("command"));
    const struct val *args = val_get(container, S("args"));
    struct val out = val_list();
    if (val_count(command) > 0) {
        push_words(arena, &out, command, env);
    } else {
        push_words(arena, &out, val_get(image_config, S("Entrypoint")), NULL);
    }
    if (val_count(args) > 0) {
        push_words(arena, &out, args, env);
    } else if (val_count(command) == 0) {
        push_words(arena, &out, val_get(image_config, S("Cmd")), NULL);
    }
    if (val_count(&out) == 0) {
        return err_set(err, ERR_INVALID, "no command specified");
    }
    *ret = out;
    return 0;
}
