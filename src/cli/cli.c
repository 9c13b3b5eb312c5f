// SPDX-License-Identifier: Apache-2.0
//
// Dispatch, options and help come from the same rows.
#include "cli/cli.h"

#include "base/mem.h"
#include "cli/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CLI_ARENA_MAX = 64 << 20, PORT_MAX = 65535 };

enum option_bits {
    OPT_NAME = 1, /* --name and --data */
    OPT_PORT = 2,
    OPT_KUBECONFIG = 4,
    OPT_YES = 8,
    OPT_JSON = 16,
    OPT_IMAGE = 32, /* --authfile and --all */
    OPT_HELP = 64   /* every command has it */
};

struct command {
    const char *name;
    int (*run)(struct cli *cli);
    unsigned options;
    const char *arguments;
    const char *help;
};

static int cmd_help(struct cli *cli);

/* name, function, options, arguments, help */
static const struct command commands[] = {
    {"up",         cmd_up,         OPT_NAME | OPT_PORT | OPT_KUBECONFIG, "",
     "Create the cluster, or start it again"                                                                                                                                      },
    {"status",     cmd_status,     OPT_NAME | OPT_JSON,                  "",              "Tell what runs"                                                                        },
    {"down",       cmd_down,       OPT_NAME,                             "",              "Stop the cluster and keep its state"                                                   },
    {"delete",     cmd_delete,     OPT_NAME | OPT_YES,                   "",
     "Stop the cluster and remove all it has, volumes too"                                                                                                                        },
    {"kubeconfig", cmd_kubeconfig, OPT_NAME,                             "",              "Print a kubeconfig for the cluster"                                                    },
    {"image",      cmd_image,      OPT_NAME | OPT_JSON | OPT_IMAGE,
     "pull NAME... | load FILE... | list | remove NAME... | prune",                       "Pull images, load them from archives (OCI, docker, OCI layout), list them, remove them"},
    {"unshare",    cmd_unshare,    OPT_NAME,                             "-- COMMAND...",
     "Run a command in the folder of the volumes, as root over all files of the cluster"                                                                                          },
    {"version",    cmd_version,    0,                                    "",              "Print the versions of coracle and of its Kubernetes API"                               },
    {"help",       cmd_help,       0,                                    "[COMMAND]",     "Explain the commands"                                                                  },
};

/* bit, option, argument, help */
static const struct {
    unsigned bit;
    const char *name;
    const char *argument;
    const char *help;
} options[] = {
    {OPT_NAME,       "--name",       "NAME", "cluster to work on (default: default)"                       },
    {OPT_NAME,       "--data",       "DIR",
     "where its state lives (default: /var/lib/coracle/NAME for root, "
     "~/.local/share/coracle/NAME for users)"                                                              },
    {OPT_PORT,       "--port",       "PORT", "API port on 127.0.0.1 (default: the next free one from 6443)"},
    {OPT_KUBECONFIG, "--kubeconfig", "FILE",
     "write the kubeconfig there instead of adding a context to yours"                                     },
    {OPT_YES,        "--yes",        NULL,   "don't ask"                                                   },
    {OPT_JSON,       "--json",       NULL,   "print JSON"                                                  },
    {OPT_IMAGE,      "--authfile",   "FILE", "pull: credentials in docker's format (default: your own)"    },
    {OPT_IMAGE,      "--all",        NULL,   "prune: every image that no container uses"                   },
    {OPT_HELP,       "--help",       NULL,   "explain this command"                                        },
};

void cli_error(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)fputs("coracle: ", stderr);
    (void)vfprintf(stderr, fmt, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

static const struct command *command_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (str_eq(name, str_of(commands[i].name))) {
            return &commands[i];
        }
    }
    return NULL;
}

static void print_help(FILE *out, const struct command *command)
{
    if (command == NULL) {
        (void)fprintf(out, "coracle runs Kubernetes StatefulSets on this machine.\n\n"
                           "usage: coracle COMMAND [options]\n\n");
        for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
            (void)fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].help);
        }
        (void)fprintf(out, "\n`coracle COMMAND --help` explains one. Start with: coracle up\n");
        return;
    }
    (void)fprintf(out, "usage: coracle %s%s%s%s\n\n%s.\n\n", command->name,
                  command->arguments[0] ? " " : "", command->arguments,
                  command->options ? " [options]" : "", command->help);
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (options[i].bit & (command->options | OPT_HELP)) {
            auto_free char *left =
                xasprintf("%s%s%s", options[i].name, options[i].argument ? " " : "",
                          options[i].argument ? options[i].argument : "");
            (void)fprintf(out, "  %-18s %s\n", left, options[i].help);
        }
    }
}

static int cmd_help(struct cli *cli)
{
    const struct command *command = cli->args_count > 0 ? command_find(cli->args[0]) : NULL;
    if (cli->args_count > 0 && command == NULL) {
        cli_error("no command '" STR_FMT "'; `coracle help` lists them", STR_ARG(cli->args[0]));
        return EXIT_USAGE;
    }
    print_help(stdout, command);
    return EXIT_OK;
}

int cmd_version(struct cli *cli)
{
    (void)cli;
    (void)printf("coracle %s, Kubernetes API %s\n", CORACLE_VERSION, KUBERNETES_VERSION);
    return EXIT_OK;
}

static int set_port(struct cli *cli, struct str value)
{
    uint64_t port;
    if (str_to_u64(value, &port) < 0 || port == 0 || port > PORT_MAX) {
        cli_error("--port: '" STR_FMT "' is not a port, expected 1 to %d", STR_ARG(value),
                  PORT_MAX);
        return EXIT_USAGE;
    }
    cli->port = (int)port;
    return EXIT_OK;
}

/* The name becomes a host name, a cgroup and a context: a DNS label. */
static int set_name(struct cli *cli, struct str value)
{
    bool is_good = value.n > 0 && value.n <= 50 && value.p[0] != '-' && value.p[value.n - 1] != '-';
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        is_good = is_good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-');
    }
    if (!is_good) {
        cli_error("--name: '" STR_FMT "' is not a name, expected at most 50 of a-z, 0-9 and '-', "
                  "no '-' at an end",
                  STR_ARG(value));
        return EXIT_USAGE;
    }
    cli->name = value;
    return EXIT_OK;
}

static int set_option(struct cli *cli, struct str name, struct str value)
{
    if (str_eq(name, S("--name"))) {
        return set_name(cli, value);
    }
    if (str_eq(name, S("--port"))) {
        return set_port(cli, value);
    }
    if (str_eq(name, S("--data"))) {
        cli->data = value;
    } else if (str_eq(name, S("--kubeconfig"))) {
        cli->kubeconfig = value;
    } else if (str_eq(name, S("--yes"))) {
        cli->is_yes = true;
    } else if (str_eq(name, S("--authfile"))) {
        cli->authfile = value;
    } else if (str_eq(name, S("--all"))) {
        cli->is_all = true;
    } else {
        cli->has_json = true;
    }
    return EXIT_OK;
}

/* Index of the option row that argument names, also as --option=value; -1 = none for this command.
 */
static int option_find(const struct command *command, struct str argument, struct str *ret_value)
{
    ptrdiff_t equals = str_find(argument, '=');
    struct str name = equals < 0 ? argument : str_sub(argument, 0, (size_t)equals);
    *ret_value =
        equals < 0 ? (struct str){NULL, 0} : str_sub(argument, (size_t)equals + 1, argument.n);
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if ((options[i].bit & (command->options | OPT_HELP)) &&
            str_eq(name, str_of(options[i].name))) {
            return (int)i;
        }
    }
    return -1;
}

enum { PARSE_RUN = -1 };

/* PARSE_RUN, or the exit code when there is nothing to run. */
static int parse(struct cli *cli, const struct command *command, int argc, char **argv)
{
    struct str *args = arena_alloc(cli->arena, (size_t)argc * sizeof *args);
    bool is_rest = false; /* after "--" all are arguments */
    for (int i = 0; i < argc; i++) {
        struct str argument = str_of(argv[i]);
        if (is_rest || !str_starts(argument, S("-"))) {
            args[cli->args_count++] = argument;
            continue;
        }
        if (str_eq(argument, S("--"))) {
            is_rest = true;
            continue;
        }
        struct str value = {0};
        int row = str_eq(argument, S("-h")) ? (int)ARRAY_LEN(options) - 1
                                            : option_find(command, argument, &value);
        if (row < 0) {
            cli_error("%s: no option '%s'; `coracle %s --help` lists them", command->name, argv[i],
                      command->name);
            return EXIT_USAGE;
        }
        if (options[row].bit == OPT_HELP) {
            print_help(stdout, command);
            return EXIT_OK;
        }
        if (options[row].argument != NULL && value.p == NULL && i + 1 == argc) {
            cli_error("%s needs a value (%s)", options[row].name, options[row].argument);
            return EXIT_USAGE;
        }
        if (options[row].argument != NULL && value.p == NULL) {
            value = str_of(argv[++i]);
        }
        int r = set_option(cli, str_of(options[row].name), value);
        if (r != EXIT_OK) {
            return r;
        }
    }
    cli->args = args;
    if (cli->args_count > 0 && command->arguments[0] == '\0') {
        cli_error("%s takes no argument, but got '" STR_FMT "'", command->name,
                  STR_ARG(cli->args[0]));
        return EXIT_USAGE;
    }
    return PARSE_RUN;
}

/* Fills in where the cluster lives; paths become absolute, since the keeper leaves the directory.
 */
static int place(struct cli *cli)
{
    if (cli->data.n > 0 && cli->data.p[0] != '/') {
        auto_free char *here = getcwd(NULL, 0);
        cli->data =
            arena_fmt(cli->arena, "%s/" STR_FMT, here == NULL ? "" : here, STR_ARG(cli->data));
    } else if (cli->data.n == 0 && geteuid() == 0) {
        cli->data = arena_fmt(cli->arena, "/var/lib/coracle/" STR_FMT, STR_ARG(cli->name));
    } else if (cli->data.n == 0) {
        const char *base = getenv("XDG_DATA_HOME");
        const char *home = getenv("HOME");
        if ((base == NULL || base[0] != '/') && home == NULL) {
            cli_error("HOME is not set: say where the cluster lives with --data DIR");
            return EXIT_USAGE;
        }
        bool has_base = base != NULL && base[0] == '/';
        cli->data = arena_fmt(cli->arena, "%s%s/coracle/" STR_FMT, has_base ? base : home,
                              has_base ? "" : "/.local/share", STR_ARG(cli->name));
    }
    while (cli->data.n > 1 && cli->data.p[cli->data.n - 1] == '/') {
        cli->data.n--;
    }
    cli->data = arena_dup(cli->arena, cli->data);
    static const char *const hidden[] = {"/run/", "/dev/shm/", "/proc/", "/sys/"};
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
        if (str_starts(cli->data, str_of(hidden[i]))) {
            cli_error("--data: the cluster has a %s of its own, so its state can't live there",
                      hidden[i]);
            return EXIT_USAGE;
        }
    }
    return EXIT_OK;
}

int cli_main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(argc < 2 ? stderr : stdout, NULL);
        return argc < 2 ? EXIT_USAGE : EXIT_OK;
    }
    const struct command *command = strcmp(argv[1], "--version") == 0
                                        ? command_find(S("version"))
                                        : command_find(str_of(argv[1]));
    if (command == NULL) {
        cli_error("no command '%s'; `coracle help` lists them", argv[1]);
        return EXIT_USAGE;
    }
    auto_arena struct arena *arena = arena_new(CLI_ARENA_MAX);
    struct cli cli = {.arena = arena, .name = S("default")};
    int r = parse(&cli, command, argc - 2, argv + 2);
    if (r != PARSE_RUN) {
        return r;
    }
    r = command->options & OPT_NAME ? place(&cli) : EXIT_OK;
    return r != EXIT_OK ? r : command->run(&cli);
}
