// SPDX-License-Identifier: Apache-2.0
//
// The server process inside a cluster: every room put together (`coracle brain`, started by init).
#ifndef CORACLE_BRAIN_H
#define CORACLE_BRAIN_H

/* Arguments: --data DIR --name NAME --port N --api-fd N --control-fd N --keeper-fd N [--progress-fd
 * N]. Returns 0 after SIGTERM, when all pods have stopped and everything is durable; else 1. */
int brain_main(int argc, char **argv);

#endif
