// SPDX-License-Identifier: Apache-2.0
//
// Credential helpers of docker: credHelpers and credsStore of a config.json name a program
// docker-credential-NAME, which gets the registry on standard input and answers {"Username",
// "Secret"} (docker-credential-helpers' protocol). Only the command asks them, as the user who
// started it; pods have secrets.
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/internal.h"
#include "data/json.h"
#include "registry/reference.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 64 << 10, HELPER_NAME_MAX = 64 };

#define HELPER_TIMEOUT (30 * USEC_PER_SEC)

/* What docker calls its own registry. */
static const char hub[] = "https://index.docker.io/v1/";
static const char hub_host[] = "index.docker.io";

/* It becomes part of a program's name. */
static bool is_plain(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || (c == '.' && i > 0))) {
            return false;
        }
    }
    return name.n > 0 && name.n <= HELPER_NAME_MAX;
}

/* Empty = none is named for this registry. */
static struct str helper_of(const struct val *config, struct str domain)
{
    const struct str keys[] = {domain, str_of(hub), str_of(hub_host)};
    bool is_hub = str_eq(domain, S("docker.io"));
    const struct val *helpers = val_get(config, S("credHelpers"));
    for (size_t i = 0; i < (is_hub ? ARRAY_LEN(keys) : 1); i++) {
        struct str name = val_text(val_get(helpers, keys[i]));
        if (name.n > 0) {
            return name;
        }
    }
    return val_text_at(config, "credsStore");
}

static int read_answer(int fd, struct buf *out, struct err *err)
{
    const struct clock *clock = clock_system();
    usec end = clock->mono(clock->ctx) + HELPER_TIMEOUT;
    for (;;) {
        usec left = end - clock->mono(clock->ctx);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0) {
            return err_set(err, ERR_TIMEOUT, "no answer within %d s",
                           (int)(HELPER_TIMEOUT / USEC_PER_SEC));
        }
        if (poll(&p, 1, (int)(left / USEC_PER_MS) + 1) <= 0) {
            continue;
        }
        char *room = buf_room(out, 4096);
        if (room == NULL) {
            return err_set(err, ERR_LIMIT, "its answer is over %d bytes", ANSWER_BYTES_MAX);
        }
        ssize_t n = read(fd, room, 4096);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return n == 0 ? 0 : err_errno(err, "read");
        }
        buf_grew(out, n < 0 ? 0 : (size_t)n);
    }
}

/* A pipe that holds text already, at its end: whoever reads it, or not, nobody waits. */
static int pipe_of(struct str text, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return err_errno(err, "pipe");
    }
    if (fd_write_all(ends[1], text, err) < 0) {
        (void)close(ends[0]);
        ends[0] = err->code;
    }
    (void)close(ends[1]);
    return ends[0];
}

/* "docker-credential-NAME get": its exit code, with what it wrote. */
static int run(const char *program, struct str server, struct buf *out, int *ret_code,
               struct err *err)
{
    extern char **environ;
    static char get[] = "get";
    auto_free char *name = xstrdup(program);
    char *const argv[] = {name, get, NULL};
    int ends[2];
    pid_t pid;
    int status = 0;
    posix_spawn_file_actions_t files;
    auto_close int input = pipe_of(server, err);
    if (input < 0) {
        return err->code;
    }
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return err_errno(err, "pipe");
    }
    auto_close int output = ends[0];
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
    (void)posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    errno = posix_spawnp(&pid, program, &files, NULL, argv, environ);
    int r = errno == 0 ? 0 : err_errno(err, "start it");
    (void)posix_spawn_file_actions_destroy(&files);
    (void)close(ends[1]);
    if (r < 0) {
        return r;
    }
    r = read_answer(output, out, err);
    if (r < 0) {
        (void)kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return r;
}

/* *ret = a configuration with what the helper knows; a null value when it knows nothing. */
static int ask(struct cli *cli, const char *program, struct str domain, struct val *ret,
               struct err *err)
{
    auto_buf struct buf text;
    struct val v;
    int code = 0;
    struct str server = str_eq(domain, S("docker.io")) ? str_of(hub) : domain;
    buf_init(&text, ANSWER_BYTES_MAX);
    *ret = val_null();
    if (run(program, server, &text, &code, err) < 0) {
        return err->code;
    }
    struct str answer = str_trim(arena_dup(cli->arena, buf_str(&text)));
    if (code != 0) {
        return str_search(answer, S("credentials not found")) >= 0
                   ? 0
                   : err_set(err, ERR_INVALID, "it ended with code %d: " STR_FMT, code,
                             STR_ARG(str_sub(answer, 0, 200)));
    }
    if (json_read(answer, cli->arena, NULL, &v, err) < 0) {
        return err_set(err, ERR_INVALID, "its answer is not JSON");
    }
    struct str username = val_text_at(&v, "Username");
    struct str secret = val_text_at(&v, "Secret");
    struct val entry = val_map();
    struct val auths = val_map();
    if (username.n == 0 || secret.n == 0) {
        return err_set(err, ERR_INVALID, "its answer has no Username or no Secret");
    }
    if (str_eq(username, S("<token>"))) {
        (void)val_set(cli->arena, &entry, S("identitytoken"), val_str(secret));
    } else {
        (void)val_set(cli->arena, &entry, S("username"), val_str(username));
        (void)val_set(cli->arena, &entry, S("password"), val_str(secret));
    }
    *ret = val_map();
    (void)val_set(cli->arena, &auths, domain, entry);
    (void)val_set(cli->arena, ret, S("auths"), auths);
    return 0;
}

bool credential_helper_ask(struct cli *cli, const struct val *config, struct str image,
                           struct val *ret)
{
    struct reference r;
    struct err err = {0};
    if (reference_parse(image, &r, &err) < 0) {
        return false; /* the pull says so */
    }
    struct str helper = helper_of(config, r.domain);
    if (helper.n == 0) {
        return false;
    }
    struct str program = arena_fmt(cli->arena, "docker-credential-" STR_FMT, STR_ARG(helper));
    int result = is_plain(helper) ? ask(cli, program.p, arena_dup(cli->arena, r.domain), ret, &err)
                                  : err_set(&err, ERR_INVALID, "not a helper's name");
    if (result < 0) {
        cli_error("image pull: credential helper '" STR_FMT "': %s; going on without",
                  STR_ARG(program), err.msg);
    }
    return result == 0 && val_is(ret, VAL_MAP);
}
