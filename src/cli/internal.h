// SPDX-License-Identifier: Apache-2.0
//
// What the commands share: options, the places of a cluster's files, the control socket.
#ifndef CORACLE_CLI_INTERNAL_H
#define CORACLE_CLI_INTERNAL_H

#include "base/arena.h"
#include "cli/cli.h"
#include "data/val.h"

#include <stdbool.h>
#include <sys/types.h>

struct cli {
    struct arena *arena;
    /* options */
    struct str name;       /* --name, "default" when not given */
    struct str data;       /* --data, or the default for name; absolute */
    struct str kubeconfig; /* --kubeconfig: write there instead of merging; empty = merge */
    int port;              /* --port, 0 = next free from 6443 */
    bool is_yes;           /* --yes */
    bool has_json;         /* --output json */
    struct str authfile;   /* --authfile: credentials for registries; empty = the user's own */
    bool is_all;           /* --all */
    /* arguments that aren't options */
    const struct str *args;
    size_t args_count;
};

/* Commands: return an exit code. */
int cmd_up(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_down(struct cli *cli);
int cmd_delete(struct cli *cli);
int cmd_kubeconfig(struct cli *cli);
int cmd_image(struct cli *cli);
int cmd_unshare(struct cli *cli);
int cmd_version(struct cli *cli);

/* Asks the credential helper that a docker configuration names for an image's registry: true with a
 * configuration that has its answer. Tells what goes wrong. */
bool credential_helper_ask(struct cli *cli, const struct val *config, struct str image,
                           struct val *ret);

/* Prints "coracle: text" to standard error. */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "<data>/<name>", NUL-terminated, in the cli's arena. */
const char *cluster_path(struct cli *cli, const char *name);
/* "coracle", or "coracle-<name>": the kubeconfig context, cluster and user. */
struct str cluster_context(struct cli *cli);

/* Locks the data folder. Returns the fd, or -1 with *ret_holder the pid of the keeper that holds it
 * (0 when unknown), or -1 with err set when it can't be opened. */
int cluster_lock(struct cli *cli, pid_t *ret_holder, struct err *err);
/* The keeper's pid when the cluster runs, else 0. */
pid_t cluster_keeper(struct cli *cli);
/* Waits for what a killed keeper left to end (its init dies with it, in milliseconds). False when a
 * keeper lives, or after 10 s. */
bool cluster_wait_unlocked(struct cli *cli);

/* A kubeconfig document for the admin of this cluster at server ("https://127.0.0.1:6443"). */
MUST_CHECK int kubeconfig_make(struct cli *cli, struct str server, struct val *ret,
                               struct err *err);
/* Adds (or replaces) the cluster's entries in the user's file ($KUBECONFIG's first, or
 * ~/.kube/config) and makes the context current; ret_path is that file. */
MUST_CHECK int kubeconfig_merge(struct cli *cli, struct str server, struct str *ret_path,
                                struct err *err);
/* Takes them out again; fine when there are none. */
MUST_CHECK int kubeconfig_remove(struct cli *cli, struct err *err);

/* One request to the brain over <data>/control.sock; *ret is the JSON answer. ERR_NOT_FOUND when
 * nothing listens; other errors carry the brain's message. */
MUST_CHECK int control_call(struct cli *cli, struct str method, struct str path, struct val *ret,
                            struct err *err);
/* The same with a body, for answers that come as lines of JSON while the work goes on: line gets
 * each. */
MUST_CHECK int control_follow(struct cli *cli, struct str path, struct str body,
                              void (*line)(void *ctx, struct str line), void *ctx, struct err *err);
/* `coracle image pull` of one image. */
int image_pull_verb(struct cli *cli, struct str name);

#endif
