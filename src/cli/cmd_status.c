// SPDX-License-Identifier: Apache-2.0
//
// `coracle status`: what runs, by name and process id, with the memory that it holds.
#include "base/fd.h"
#include "base/mem.h"
#include "cli/internal.h"
#include "data/json.h"
#include "hull/hull.h"

#include <fcntl.h>
#include <stdio.h>

enum { STATM_BYTES_MAX = 8192, STATUS_BYTES_MAX = 1 << 20 };

/* Resident kilobytes of a process, 0 when it is gone. */
static uint64_t resident_kb(pid_t pid)
{
    auto_buf struct buf text;
    buf_init(&text, STATM_BYTES_MAX);
    auto_free char *path = xasprintf("/proc/%d/status", (int)pid);
    struct err err;
    uint64_t kb = 0;
    if (pid <= 0 || file_read(AT_FDCWD, path, &text, &err) < 0) {
        return 0;
    }
    ptrdiff_t at = str_search(buf_str(&text), S("VmRSS:"));
    if (at >= 0) {
        struct str rest = str_trim(str_sub(buf_str(&text), (size_t)at + 6, text.n));
        (void)!str_to_u64(str_cut(&rest, ' '), &kb);
    }
    return kb;
}

static void print_process(const char *name, pid_t pid)
{
    if (pid > 0) {
        (void)printf("%-10s pid %-8d %6.1f MB\n", name, (int)pid, (double)resident_kb(pid) / 1024);
    } else {
        (void)printf("%-10s not running\n", name);
    }
}

static void add_process(struct cli *cli, struct val *v, struct str name, pid_t pid)
{
    struct val p = val_map();
    (void)val_set(cli->arena, &p, S("pid"), val_int(pid));
    (void)val_set(cli->arena, &p, S("residentKilobytes"), val_int((int64_t)resident_kb(pid)));
    (void)val_set(cli->arena, v, name, p);
}

static void print_text(struct cli *cli, const struct hull_processes *p, const struct val *brain)
{
    (void)printf("cluster    " STR_FMT "\ndata       " STR_FMT "\n", STR_ARG(cli->name),
                 STR_ARG(cli->data));
    print_process("keeper", p->keeper);
    print_process("init", p->init);
    print_process("brain", p->brain);
    print_process("ports", p->ports);
    (void)printf("api        " STR_FMT "\n", STR_ARG(val_text_at(brain, "api")));
    (void)printf("pods       %lld, running %lld\n", (long long)val_number_at(brain, "pods", 0),
                 (long long)val_number_at(brain, "podsRunning", 0));
    (void)printf("objects    %lld, revision %lld\n", (long long)val_number_at(brain, "objects", 0),
                 (long long)val_number_at(brain, "revision", 0));
    const struct val *notes = val_get(brain, S("notes"));
    for (size_t i = 0; i < val_count(notes); i++) {
        (void)printf("note       " STR_FMT "\n", STR_ARG(val_text(val_at(notes, i))));
    }
}

int cmd_status(struct cli *cli)
{
    pid_t keeper = cluster_keeper(cli);
    if (keeper == 0) {
        cli_error("cluster '" STR_FMT "' is not running; start it with `coracle up`",
                  STR_ARG(cli->name));
        return EXIT_NOT_RUNNING;
    }
    struct val brain = val_map();
    struct err err;
    if (control_call(cli, S("GET"), S("/status"), &brain, &err) < 0) {
        cli_error("the brain does not answer: %s; the log is %s", err.msg,
                  cluster_path(cli, "coracle.log"));
        return EXIT_FAILED;
    }
    /* After the answer: it may come from a brain that was started meanwhile. */
    struct hull_processes processes;
    hull_processes_find(keeper, &processes);
    if (!cli->has_json) {
        print_text(cli, &processes, &brain);
        return EXIT_OK;
    }
    auto_buf struct buf text;
    buf_init(&text, STATUS_BYTES_MAX);
    add_process(cli, &brain, S("keeper"), processes.keeper);
    add_process(cli, &brain, S("init"), processes.init);
    add_process(cli, &brain, S("brain"), processes.brain);
    add_process(cli, &brain, S("ports"), processes.ports);
    (void)json_write_pretty(&text, &brain);
    (void)printf(STR_FMT "\n", STR_ARG(buf_str(&text)));
    return EXIT_OK;
}
