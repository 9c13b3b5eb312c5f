// SPDX-License-Identifier: Apache-2.0
//
// Why not res_query or getaddrinfo: the first is thin in musl, neither gives SRV records and their
// addresses in one answer.
#include "resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 3, TRY_MS = 1000, ANSWER_MAX = 65535 };

static void read_line(struct resolver *r, char *line)
{
    char *save = NULL;
    char *word = strtok_r(line, " \t\r\n", &save);
    if (word == NULL) {
        return;
    }
    char *value = strtok_r(NULL, " \t\r\n", &save);
    if (strcmp(word, "nameserver") == 0 && value != NULL) {
        if (r->servers_count < RESOLVER_SERVERS_MAX &&
            inet_pton(AF_INET, value, r->servers[r->servers_count]) == 1) {
            r->servers_count++;
        }
    } else if (strcmp(word, "search") == 0) {
        r->search_count = 0;
        for (; value != NULL && r->search_count < RESOLVER_SEARCH_MAX;
             value = strtok_r(NULL, " \t\r\n", &save)) {
            (void)snprintf(r->search[r->search_count++], DNS_NAME_MAX, "%s", value);
        }
    } else if (strcmp(word, "options") == 0) {
        for (; value != NULL; value = strtok_r(NULL, " \t\r\n", &save)) {
            if (strncmp(value, "ndots:", 6) == 0) {
                r->ndots = (int)strtol(value + 6, NULL, 10);
            }
        }
    }
}

void resolver_read(struct resolver *resolver, const char *path)
{
    *resolver = (struct resolver){.port = 53, .ndots = 1};
    FILE *f = fopen(path, "re");
    char line[2048];
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        read_line(resolver, line);
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    if (resolver->servers_count == 0) {
        resolver->servers_count = 1;
        memcpy(resolver->servers[0], (uint8_t[]){127, 0, 0, 1}, 4);
    }
}

static int64_t now_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A connected socket, so that only that server's answers arrive. -1 on failure. */
static int open_socket(const struct resolver *r, int server, int type)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(r->port)};
    struct timeval limit = {.tv_sec = TRY_MS / 1000};
    memcpy(&to.sin_addr, r->servers[server], 4);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool receive_all(int fd, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t got = recv(fd, p, n, 0);
        if (got <= 0) {
            return false;
        }
        p += got;
        n -= (size_t)got;
    }
    return true;
}

/* Bytes of an answer over TCP, 0 on failure. */
static size_t ask_tcp(const struct resolver *r, int server, const uint8_t *question, size_t n,
                      uint8_t *answer)
{
    uint8_t framed[DNS_QUESTION_MAX + 2] = {(uint8_t)(n >> 8), (uint8_t)n};
    uint8_t len[2];
    size_t got = 0;
    int fd = open_socket(r, server, SOCK_STREAM);
    if (fd < 0) {
        return 0;
    }
    memcpy(framed + 2, question, n);
    if (send(fd, framed, n + 2, MSG_NOSIGNAL) == (ssize_t)n + 2 && receive_all(fd, len, 2) &&
        receive_all(fd, answer, (size_t)len[0] << 8 | len[1])) {
        got = (size_t)len[0] << 8 | len[1];
    }
    (void)close(fd);
    return got;
}

/* One question to one server. DNS_NONSENSE also when no answer came in time. */
static enum dns_outcome ask(const struct resolver *r, int server, const char *name, uint16_t type,
                            struct dns_record *records, int *ret_count)
{
    static uint8_t answer[ANSWER_MAX]; /* lookups come from one thread */
    uint8_t question[DNS_QUESTION_MAX];
    uint16_t id = 0;
    (void)!getrandom(&id, sizeof id, 0);
    size_t len = dns_question_write(question, id, name, type);
    int fd = len == 0 ? -1 : open_socket(r, server, SOCK_DGRAM);
    if (fd < 0) {
        return DNS_NONSENSE;
    }
    enum dns_outcome outcome = DNS_NONSENSE;
    int64_t until = now_ms() + TRY_MS;
    if (send(fd, question, len, MSG_NOSIGNAL) == (ssize_t)len) {
        while (outcome == DNS_NONSENSE && now_ms() < until) {
            ssize_t n = recv(fd, answer, sizeof answer, 0);
            if (n < 0) {
                break;
            }
            outcome = dns_answer_read(answer, (size_t)n, id, type, records, RESOLVER_RECORDS_MAX,
                                      ret_count);
        }
    }
    (void)close(fd);
    if (outcome == DNS_TRUNCATED) {
        size_t n = ask_tcp(r, server, question, len, answer);
        outcome = dns_answer_read(answer, n, id, type, records, RESOLVER_RECORDS_MAX, ret_count);
    }
    return outcome;
}

static enum dns_outcome lookup_one(const struct resolver *r, const char *name, uint16_t type,
                                   struct dns_record *records, int *ret_count)
{
    enum dns_outcome outcome = DNS_FAILED;
    for (int try = 0; try < TRIES; try++) {
        for (int server = 0; server < r->servers_count; server++) {
            outcome = ask(r, server, name, type, records, ret_count);
            if (outcome == DNS_OK || outcome == DNS_NO_NAME) {
                return outcome;
            }
        }
    }
    return outcome;
}

enum dns_outcome resolver_lookup(const struct resolver *resolver, const char *name, uint16_t type,
                                 struct dns_record *records, int *ret_count)
{
    int dots = 0;
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        dots += name[i] == '.';
    }
    bool is_full = len > 0 && name[len - 1] == '.';
    enum dns_outcome outcome = DNS_NO_NAME;
    if (is_full || dots >= resolver->ndots) {
        outcome = lookup_one(resolver, name, type, records, ret_count);
    }
    for (int i = 0; outcome != DNS_OK && !is_full && i < resolver->search_count; i++) {
        char full[2 * DNS_NAME_MAX];
        (void)snprintf(full, sizeof full, "%s.%s", name, resolver->search[i]);
        outcome = lookup_one(resolver, full, type, records, ret_count);
    }
    if (outcome != DNS_OK && !is_full && dots < resolver->ndots) {
        outcome = lookup_one(resolver, name, type, records, ret_count);
    }
    return outcome;
}
