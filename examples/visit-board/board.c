// SPDX-License-Identifier: Apache-2.0
//
// All replicas are asked side by side, so a dead one costs one timeout a round and not one each.
#include "board.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ASK_TIMEOUT_MS = 2000, ANSWER_MAX = 2048 };

struct call {
    struct board_row *row;
    int fd; /* -1 = over */
    uint8_t address[4];
    uint16_t port;
    bool is_sent;
    size_t answer_len;
    char answer[ANSWER_MAX + 1];
};

/* A headless service that isn't the one of the pods' subdomain names its targets by address, so
 * the name to show comes from the answer itself. Only a plain name is taken. */
static void take_pod_name(struct call *call, const char *head_end)
{
    static const char field[] = "\r\nX-Pod: ";
    const char *at = strcasestr(call->answer, field);
    if (at == NULL || at > head_end) {
        return;
    }
    at += sizeof field - 1;
    size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789-.");
    if (n > 0 && n < sizeof call->row->pod && at[n] == '\r') {
        memcpy(call->row->pod, at, n);
        call->row->pod[n] = '\0';
    }
}

static void call_end(struct call *call, const char *problem)
{
    if (call->fd >= 0) {
        (void)close(call->fd);
        call->fd = -1;
    }
    if (problem != NULL) {
        (void)snprintf(call->row->problem, sizeof call->row->problem, "%s", problem);
    }
}

/* The whole answer is here: "HTTP/1.1 200 OK ... \r\n\r\n104\n". */
static void call_read_answer(struct call *call)
{
    call->answer[call->answer_len] = '\0';
    const char *body = strstr(call->answer, "\r\n\r\n");
    if (strncmp(call->answer, "HTTP/1.", 7) != 0 || body == NULL) {
        call_end(call, "no HTTP answer");
        return;
    }
    if (strncmp(call->answer + 8, " 200", 4) != 0) {
        char problem[48];
        (void)snprintf(problem, sizeof problem, "answered %.3s", call->answer + 9);
        call_end(call, problem);
        return;
    }
    char *end;
    errno = 0;
    uint64_t visits = strtoull(body + 4, &end, 10);
    if (end == body + 4 || errno != 0 || body[4] < '0' || body[4] > '9') {
        call_end(call, "answered no number");
        return;
    }
    take_pod_name(call, body);
    call->row->visits = visits;
    call->row->is_known = true;
    call_end(call, NULL);
}

static void call_start(struct call *call)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(call->port)};
    memcpy(&to.sin_addr, call->address, 4);
    call->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (call->fd < 0 ||
        (connect(call->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)) {
        call_end(call, strerror(errno));
    }
}

static void call_step(struct call *call)
{
    if (!call->is_sent) {
        int error = 0;
        socklen_t len = sizeof error;
        (void)getsockopt(call->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        char request[DNS_NAME_MAX + 100];
        int n = snprintf(request, sizeof request,
                         "GET /visits HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
                         call->row->host);
        if (error != 0 || send(call->fd, request, (size_t)n, MSG_NOSIGNAL) != n) {
            call_end(call, strerror(error != 0 ? error : errno));
        }
        call->is_sent = true;
        return;
    }
    ssize_t n = recv(call->fd, call->answer + call->answer_len, ANSWER_MAX - call->answer_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n < 0) {
        call_end(call, strerror(errno));
        return;
    }
    call->answer_len += (size_t)n;
    if (n == 0 || call->answer_len == ANSWER_MAX) {
        call_read_answer(call);
    }
}

static int64_t now_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void run_calls(struct call *calls, int count)
{
    struct pollfd fds[BOARD_ROWS_MAX];
    int64_t until = now_ms() + ASK_TIMEOUT_MS;
    for (;;) {
        int open_count = 0;
        for (int i = 0; i < count; i++) {
            fds[i] = (struct pollfd){.fd = calls[i].fd,
                                     .events = (short)(calls[i].is_sent ? POLLIN : POLLOUT)};
            open_count += calls[i].fd >= 0;
        }
        int64_t left = until - now_ms();
        if (open_count == 0 || left <= 0) {
            break;
        }
        (void)poll(fds, (nfds_t)count, (int)left);
        for (int i = 0; i < count; i++) {
            if (calls[i].fd >= 0 && fds[i].revents != 0) {
                call_step(&calls[i]);
            }
        }
    }
    for (int i = 0; i < count; i++) {
        if (calls[i].fd >= 0) {
            call_end(&calls[i], "no answer in time");
        }
    }
}

/* The number at the end of the pod's name, so that pod 10 comes after pod 9. */
static int compare_calls(const void *a, const void *b)
{
    const struct call *x = a, *y = b;
    const char *dash1 = strrchr(x->row->pod, '-'), *dash2 = strrchr(y->row->pod, '-');
    long n1 = dash1 == NULL ? -1 : strtol(dash1 + 1, NULL, 10);
    long n2 = dash2 == NULL ? -1 : strtol(dash2 + 1, NULL, 10);
    return n1 != n2 ? (n1 < n2 ? -1 : 1) : strcmp(x->row->pod, y->row->pod);
}

/* The address of host among the records, or NULL. */
static const uint8_t *address_among(const struct dns_record *records, int count, const char *host)
{
    for (int i = 0; i < count; i++) {
        if (records[i].type == DNS_TYPE_A && strcasecmp(records[i].owner, host) == 0) {
            return records[i].address;
        }
    }
    return NULL;
}

/* The address of a target: from the same answer where the server added it, else by a lookup. */
static bool find_address(const struct resolver *resolver, const struct dns_record *records,
                         int count, const char *target, uint8_t *ret)
{
    static struct dns_record own[RESOLVER_RECORDS_MAX]; /* lookups come from one thread */
    const uint8_t *address = address_among(records, count, target);
    if (address == NULL) {
        char full[DNS_NAME_MAX + 1];
        (void)snprintf(full, sizeof full, "%s.", target);
        if (resolver_lookup(resolver, full, DNS_TYPE_A, own, &count) == DNS_OK) {
            address = address_among(own, count, target);
        }
    }
    if (address != NULL) {
        memcpy(ret, address, 4);
    }
    return address != NULL;
}

static const char *explain(enum dns_outcome outcome)
{
    switch (outcome) {
    case DNS_OK:
    case DNS_NO_NAME:
        return "has no SRV record: no replica is ready, or the service is not there";
    case DNS_TRUNCATED:
    case DNS_FAILED:
        return "can't be looked up: the name server fails";
    case DNS_NONSENSE:
        break;
    }
    return "can't be looked up: no answer from the name server";
}

void board_ask(const struct resolver *resolver, const char *service, int64_t now, struct board *ret)
{
    static struct dns_record records[RESOLVER_RECORDS_MAX]; /* rounds come from one thread */
    static struct call calls[BOARD_ROWS_MAX];
    static struct board_row rows[BOARD_ROWS_MAX];
    int records_count = 0, count = 0;
    enum dns_outcome outcome =
        resolver_lookup(resolver, service, DNS_TYPE_SRV, records, &records_count);
    memset(ret, 0, sizeof *ret);
    ret->asked_at = now;
    if (outcome != DNS_OK) {
        (void)snprintf(ret->problem, sizeof ret->problem, "%s %s", service, explain(outcome));
        return;
    }
    for (int i = 0; i < records_count && count < BOARD_ROWS_MAX; i++) {
        if (records[i].type != DNS_TYPE_SRV) {
            continue;
        }
        struct call *call = &calls[count];
        *call = (struct call){.row = &rows[count], .fd = -1, .port = records[i].port};
        rows[count] = (struct board_row){0};
        (void)snprintf(rows[count].host, sizeof rows[count].host, "%s", records[i].target);
        (void)snprintf(rows[count].pod, sizeof rows[count].pod, "%.*s",
                       (int)strcspn(records[i].target, "."), records[i].target);
        if (find_address(resolver, records, records_count, records[i].target, call->address)) {
            call_start(call);
        } else {
            call_end(call, "its name has no address");
        }
        count++;
    }
    run_calls(calls, count);
    qsort(calls, (size_t)count, sizeof *calls, compare_calls);
    for (int i = 0; i < count; i++) {
        ret->rows[i] = *calls[i].row;
    }
    ret->rows_count = count;
}
