// SPDX-License-Identifier: Apache-2.0
#include "sandbox.h"

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "data/json.h"
#include "node/runtime_conmon.h"
#include "node/sessions.h"

#include <fcntl.h>
#include <stdlib.h>

static const char spec_text[] =
    "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"sh\",\"-c\",\"echo first; while read x; do "
    "echo "
    "got $x; [ $x = end ] && exit 0; done; sleep 100\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"],"
    "\"user\":{\"uid\":0,\"gid\":0},\"terminal\":false},\"root\":{\"path\":\"/run/rootfs\"},"
    "\"mounts\":[{\"destination\":\"/"
    "proc\",\"type\":\"proc\",\"source\":\"proc\"},{\"destination\":"
    "\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},{\"destination\":\"/dev/"
    "pts\",\"type\":\"devpts\","
    "\"source\":\"devpts\"}],\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"}]}}";

struct world {
    struct loop *loop;
    struct runtime *rt;
    struct sessions *sessions;
    bool is_done;
    bool has_exited;
    bool is_ended;
    int code;
    char err[300];
    struct buf out, errout;
    size_t total;
    bool is_counting;
};

static void on_done(void *ctx, const struct err *err)
{
    CHECK_STR("", str_of(err == NULL ? "" : err->msg));
    ((struct world *)ctx)->is_done = true;
}

static void on_exited(void *ctx, const struct container_fact *fact)
{
    (void)fact;
    ((struct world *)ctx)->has_exited = true;
}

static int find(void *ctx, struct str ns, struct str pod, struct str container, bool is_previous,
                bool is_log, struct pod_container *ret, struct err *err)
{
    const struct world *w = ctx;
    (void)ns;
    (void)container;
    (void)is_previous;
    (void)is_log;
    if (!str_eq(pod, S("web-0"))) {
        return err_set(err, ERR_NOT_FOUND, "pods \"" STR_FMT "\" not found", STR_ARG(pod));
    }
    *ret = (struct pod_container){.id = S("c"),
                                  .bundle = S("/run/coracle/bundles/c"),
                                  .log_path = S("/run/c.log"),
                                  .is_running = !w->has_exited,
                                  .has_stdin = true};
    return 0;
}

static bool is_running(void *ctx, struct str id)
{
    (void)id;
    return !((const struct world *)ctx)->has_exited;
}

static int no_netns(void *ctx, struct str ns, struct str pod, struct str *ret, struct err *err)
{
    (void)ctx;
    (void)ns;
    (void)pod;
    (void)err;
    *ret = S("");
    return 0;
}

static void on_output(void *ctx, int channel, struct str bytes)
{
    struct world *w = ctx;
    w->total += bytes.n;
    if (!w->is_counting) {
        (void)buf_add(channel == SESSION_STDERR ? &w->errout : &w->out, bytes);
    }
}

static void on_ended(void *ctx, int code, const struct err *err)
{
    struct world *w = ctx;
    CHECK(!w->is_ended);
    w->is_ended = true;
    w->code = code;
    (void)snprintf(w->err, sizeof w->err, "%.250s", err == NULL ? "" : err->msg);
}

static const struct session_events events = {.output = on_output, .ended = on_ended};

static struct session *open_session(struct world *w, const struct session_request *request)
{
    struct err err;
    w->is_ended = false;
    w->total = 0;
    buf_clear(&w->out);
    buf_clear(&w->errout);
    struct session *s = sessions_ops()->open(w->sessions, request, &events, w, &err);
    if (s == NULL) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(1);
    }
    return s;
}

static struct session *open_exec(struct world *w, const char *script, bool has_stdin, bool has_tty)
{
    const struct str command[] = {S("sh"), S("-c"), str_of(script)};
    const struct session_request request = {.kind = SESSION_EXEC,
                                            .ns = S("default"),
                                            .pod = S("web-0"),
                                            .command = command,
                                            .command_count = 3,
                                            .has_stdin = has_stdin,
                                            .has_stdout = true,
                                            .has_stderr = !has_tty,
                                            .has_tty = has_tty};
    return open_session(w, &request);
}

static void world_start(struct world *w)
{
    struct err err;
    auto_arena struct arena *arena = arena_new(REQUEST_ARENA_MAX);
    struct val spec;
    *w = (struct world){.loop = loop_new()};
    buf_init(&w->out, 8 << 20);
    buf_init(&w->errout, 8 << 20);
    sandbox_rootfs("/run/rootfs");
    const struct runtime_conmon_config config = {.state_dir = "/run/coracle", .has_cgroups = true};
    w->rt = runtime_conmon_open(w->loop, &config, &err);
    CHECK(w->rt != NULL);
    w->rt->exited = on_exited;
    w->rt->exited_ctx = w;
    const struct pod_lookup lookup = {
        .ctx = w, .container = find, .is_running = is_running, .netns = no_netns};
    w->sessions = sessions_open(w->loop, w->rt, &lookup, &err);
    CHECK(w->sessions != NULL);
    CHECK_OK(json_read(str_of(spec_text), arena, NULL, &spec, &err));
    const struct container_config c = {.id = S("c"),
                                       .bundle = S("/run/coracle/bundles/c"),
                                       .rootfs = S("/run/rootfs"),
                                       .oci = &spec,
                                       .log_path = S("/run/c.log"),
                                       .has_stdin = true};
    w->rt->ops->create(w->rt, &c, on_done, w);
    sandbox_wait(w->loop, &w->is_done);
    w->is_done = false;
    w->rt->ops->start(w->rt, S("c"), on_done, w);
    sandbox_wait(w->loop, &w->is_done);
    w->is_done = false;
}

static void world_end(struct world *w)
{
    w->rt->ops->remove(w->rt, S("c"), on_done, w);
    sandbox_wait(w->loop, &w->is_done);
    sandbox_pause(w->loop, 20); /* frees what ended last */
    sessions_close(w->sessions);
    w->rt->ops->close(w->rt);
    buf_done(&w->out);
    buf_done(&w->errout);
    loop_free(w->loop);
}

static void run_exec(void)
{
    struct world w;
    world_start(&w);
    const struct session_ops *ops = sessions_ops();
    (void)open_exec(&w, "echo out; echo bad >&2; exit 3", false, false);
    sandbox_wait(w.loop, &w.is_ended);
    CHECK_STR("", str_of(w.err));
    CHECK_INT(3, w.code);
    CHECK_STR("out\n", buf_str(&w.out));
    CHECK_STR("bad\n", buf_str(&w.errout));
    struct session *s = open_exec(&w, "cat", true, false);
    ops->input(s, S("through\n"), false);
    ops->input(s, S("and end"), true);
    sandbox_wait(w.loop, &w.is_ended);
    CHECK_STR("through\nand end", buf_str(&w.out));
    const struct str nosuch = S("nosuch");
    const struct session_request bad = {.kind = SESSION_EXEC,
                                        .pod = S("web-0"),
                                        .command = &nosuch,
                                        .command_count = 1,
                                        .has_stderr = true};
    (void)open_session(&w, &bad);
    sandbox_wait(w.loop, &w.is_ended);
    CHECK(str_search(str_of(w.err), S("executable file `nosuch` not found in $PATH")) >= 0);
    /* A slow client: nothing comes while it pauses, nothing is lost. */
    w.is_counting = true;
    s = open_exec(&w, "yes | head -c 3000000", false, false);
    ops->pause(s, true); /* before it can have ended: a session that ended is gone */
    size_t at = w.total;
    sandbox_pause(w.loop, 100);
    CHECK_INT(at, w.total);
    ops->pause(s, false);
    sandbox_wait(w.loop, &w.is_ended);
    CHECK_INT(3000000, w.total);
    w.is_counting = false;
    world_end(&w);
}

TEST(exec_carries_streams_and_codes)
{
    sandbox_run(run_exec);
}

static void run_tty(void)
{
    struct world w;
    world_start(&w);
    const struct session_ops *ops = sessions_ops();
    struct session *s = open_exec(&w, "stty -echo; echo up; read x; stty size; exit 4", true, true);
    ops->resize(s, 123, 45);
    for (int i = 0; i < 100 && w.out.n == 0; i++) {
        sandbox_pause(w.loop, 100); /* until the echo is off */
    }
    ops->input(s, S("go\n"), false);
    sandbox_wait(w.loop, &w.is_ended);
    CHECK_INT(4, w.code);
    CHECK_STR("up\r\n45 123\r\n", buf_str(&w.out));
    s = open_exec(&w, "sleep 100", false, false);
    sandbox_pause(w.loop, 100);
    ops->close(s);
    CHECK(!w.is_ended);
    world_end(&w);
}

TEST(exec_gives_a_terminal)
{
    sandbox_run(run_tty);
}

static void run_attach_log(void)
{
    struct world w;
    world_start(&w);
    const struct session_ops *ops = sessions_ops();
    const struct session_request log = {
        .kind = SESSION_LOG, .pod = S("web-0"), .tail_lines = -1, .limit_bytes = -1};
    for (int i = 0; i < 100 && w.out.n == 0; i++) { /* a started container has not spoken yet */
        sandbox_pause(w.loop, 20);
        (void)open_session(&w, &log);
        sandbox_wait(w.loop, &w.is_ended);
    }
    CHECK_STR("first\n", buf_str(&w.out));
    const struct session_request attach = {
        .kind = SESSION_ATTACH, .pod = S("web-0"), .has_stdin = true, .has_stdout = true};
    struct session *s = open_session(&w, &attach);
    ops->input(s, S("a\n"), false);
    sandbox_pause(w.loop, 100);
    CHECK_STR("got a\n", buf_str(&w.out));
    ops->close(s);
    struct session_request follow = log;
    follow.is_follow = true;
    follow.tail_lines = 1;
    (void)open_session(&w, &follow);
    sandbox_pause(w.loop, 30);
    CHECK_STR("got a\n", buf_str(&w.out));
    struct err err;
    struct world other = {0};
    buf_init(&other.out, 4096);
    buf_init(&other.errout, 4096);
    s = ops->open(w.sessions, &attach, &events, &other, &err);
    CHECK(s != NULL);
    ops->input(s, S("end\n"), false);
    sandbox_wait(w.loop, &w.is_ended);
    CHECK_STR("got a\ngot end\n", buf_str(&w.out));
    sandbox_wait(w.loop, &other.is_ended);
    CHECK_STR("got end\n", buf_str(&other.out));
    buf_done(&other.out);
    buf_done(&other.errout);
    world_end(&w);
}

TEST(attach_and_logs_follow_a_container_to_its_end)
{
    sandbox_run(run_attach_log);
}
