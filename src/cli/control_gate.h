// SPDX-License-Identifier: Apache-2.0
//
// The brain's end of <data>/control.sock: plain HTTP on a Unix socket that only its owner can open,
// for what is no Kubernetes API: status and images.
//   GET /status                 {"api", "pods", "podsRunning", "objects", "revision", "notes"}
//   GET /images                 {"images": [{"id", "names", "bytes"}]}
//   POST /images?path=ABSOLUTE  {"names": [...]}
//   DELETE /images?name=REF     {}
//   POST /pulls?name=REF        lines: {"layer", "bytes", "size", "state"} …, at last {"name",
//   "digest",
//                               "bytes"} or {"message"}; the body is a list of docker
//                               configurations (texts) with credentials. The pull ends when the
//                               caller goes.
//   POST /prune?all=true        {"names": [...]}
// Failures are {"message": …} with a code of 4xx or 5xx.
#ifndef CORACLE_CLI_CONTROL_GATE_H
#define CORACLE_CLI_CONTROL_GATE_H

#include "client/client.h"
#include "loop/loop.h"
#include "node/image.h"

struct control_gate;
struct control_gate_config {
    struct loop *loop;
    struct store *store;
    struct client *client;
    struct image_store *images;
    struct str api_address;   /* "https://127.0.0.1:6443" */
    const char *const *notes; /* what is not enforced here, NULL-terminated */
};
/* listen_fd is owned from here on. */
struct control_gate *control_gate_new(const struct control_gate_config *config, int listen_fd,
                                      struct err *err);
void control_gate_free(struct control_gate *gate);

#endif
