// SPDX-License-Identifier: Apache-2.0
#include "server/internal.h"
void serve_remote(struct job *job)
{
    struct status s = plain_status(501, "NotImplemented", S("x"));
    reply_status(job, &s);
}
void serve_forward(struct job *job)
{
    serve_remote(job);
}
void serve_log(struct job *job)
{
    serve_remote(job);
}
