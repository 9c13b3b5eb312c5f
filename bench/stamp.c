// SPDX-License-Identifier: Apache-2.0
//
// The benchmark's container: writes the wall clock in microseconds as its first act, then answers
// every connection on port 8080 with an empty 200. Linked statically; the only file of its image.
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

int main(void)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    struct timespec t;
    char line[64];
    (void)clock_gettime(CLOCK_REALTIME, &t);
    int n = snprintf(line, sizeof line, "%lld\n", (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
    (void)!write(1, line, (size_t)n);
    (void)signal(SIGTERM, on_term);
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
