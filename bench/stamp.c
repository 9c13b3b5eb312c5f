// SPDX-License-Identifier: Apache-2.0
//
// The benchmark's container: writes the wall clock in microseconds as its first act, then answers
// every connection on port 8080 with an empty 200. With an argument it first asks the cluster's DNS
// for the API's name until there is an answer, and says "resolved". Linked statically; the only
// file of its image.
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void on_term(int signal)
{
    (void)signal;
    _exit(0);
}

/* One question, A of kubernetes.default.svc.cluster.local, over and over. */
static void resolve(void)
{
    static const char question[] = "\0\1\1\0\0\1\0\0\0\0\0\0"
                                   "\012kubernetes\7default\3svc\7cluster\5local\0\0\1\0\1";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    struct timeval patience = {.tv_usec = 100000};
    unsigned char reply[512];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    to.sin_addr.s_addr = htonl(10U << 24 | 96U << 16 | 10U);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    do {
        (void)sendto(fd, question, sizeof question - 1, 0, (struct sockaddr *)&to, sizeof to);
    } while (recv(fd, reply, sizeof reply, 0) < 12 || reply[7] == 0);
    (void)!write(1, "resolved\n", 9);
    (void)close(fd);
}

int main(int argc, char **argv)
{
    (void)argv;
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    struct timespec t;
    char line[64];
    (void)clock_gettime(CLOCK_REALTIME, &t);
    int n = snprintf(line, sizeof line, "%lld\n", (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
    (void)!write(1, line, (size_t)n);
    (void)signal(SIGTERM, on_term);
    if (argc > 1) { /* "resolve" */
        resolve();
    }
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof sin) < 0 || listen(fd, 16) < 0) {
        return 1;
    }
    for (;;) {
        int c = accept(fd, NULL, NULL);
        char request[4096];
        if (c >= 0) {
            (void)!read(c, request, sizeof request);
            (void)!write(c, answer, sizeof answer - 1);
            (void)close(c);
        }
    }
}
