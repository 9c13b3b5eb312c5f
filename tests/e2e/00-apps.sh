#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The example apps as plain programs: counts are never lost or doubled, not by parallel requests and not by
# SIGKILL; bad and slow clients are answered and don't hold up others.
. "$(dirname "$0")/lib.sh"
port=$((10000 + $$ % 20000)) # below the ports of outgoing connections
url=http://127.0.0.1:$port
app=$top/build/examples/moscow-time-1.0

start() { # in $work/app
    mkdir -p "$work/app"
    (cd "$work/app" && PORT=$port HOSTNAME=moscow-time-7 exec "$app") >>"$work/app.log" 2>&1 &
    pid=$!
    jobs_started+=("$pid")
    soon 5 curl -sf "$url/visits" >/dev/null
}
count() { cat "$work/app/data/visits"; }
status() { curl -s -o /dev/null -w '%{http_code}' "$@"; }
raw() { # text: sends it, prints the first line of the reply
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf '%b' "$1" >&3
    timeout 15 head -n 1 <&3 | tr -d '\r'
    exec 3>&-
}

t "moscow-time starts" start
t_is "no visit yet" 0 curl -s "$url/visits"
t_has "the page tells the time" '[0-2][0-9]:[0-5][0-9]:[0-5][0-9].*Moscow \(UTC\+3\).*Visit number <b>1</b>' curl -s "$url/"
t_is "the visit is on disk" 1 count
t_has "the time is Moscow's" "$(TZ=UTC-3 date +%H:%M)" curl -s "$url/"
t_has "metrics" $'\nmoscow_time_visits_total 2\n' curl -s "$url/metrics"
t_has "replies name the pod" 'X-Pod: moscow-time-7' curl -si "$url/visits"
t_is "HEAD counts nothing" 200 status -I "$url/"
t_is "POST is refused" 405 status -X POST "$url/"
t_is "an unknown path" 404 status "$url/nothing"
t_is "a long header" 431 status -H "X: $(head -c 9000 /dev/zero | tr '\0' a)" "$url/"
t_is "no HTTP" "HTTP/1.1 400 Bad Request" raw 'hello\r\n\r\n'
t_is "no Host" "HTTP/1.1 400 Bad Request" raw 'GET / HTTP/1.1\r\n\r\n'
t_is "still two visits" 2 count

exec 4<>"/dev/tcp/127.0.0.1/$port" # a client that never ends its request
printf 'GET / HTTP/1.1\r\nHost' >&4
parallel() { seq 500 | xargs -P 25 -n 10 sh -c 'for i; do curl -sf -o /dev/null "'"$url"'/" || echo lost; done' _; }
t_is "500 requests, 25 at a time, beside a slow client" "" parallel
t_is "each counted once" 502 count
t_is "the slow client is told so" "HTTP/1.1 408 Request Timeout" sh -c 'timeout 15 head -n 1 | tr -d "\r"' <&4
exec 4>&-

# Killed at any moment: what was answered is on disk, and at most what was under way beyond it.
for round in 1 2 3; do
    before=$(count)
    (for _ in $(seq 400); do curl -sf -o /dev/null "$url/" && echo answered; done) >"$work/answered" 2>/dev/null &
    client=$!
    sleep 0.4
    kill -9 "$pid"
    wait "$pid" 2>/dev/null
    kill "$client" 2>/dev/null
    wait "$client" 2>/dev/null
    answered=$(grep -c answered "$work/answered")
    grew=$(($(count) - before))
    if [ "$answered" -gt 0 ] && [ $grew -ge "$answered" ] && [ $grew -le $((answered + 1)) ]; then
        pass "kill -9, round $round: $answered answered, $grew counted"
    else
        fail "kill -9, round $round" "$answered answered, $grew counted"
    fi
    start >/dev/null
done
second() { (cd "$work/app" && PORT=$((port + 1)) timeout 3 "$app"); }
t_fails "a second process may not count in the same folder" second
before=$(count)
kill -TERM "$pid"
t "SIGTERM ends it in order" wait "$pid"
t_is "nothing lost" "$before" count

# visit-board without a cluster: it serves, says what is wrong, and ends.
mkdir -p "$work/board"
(cd "$work/board" && PORT=$port BOARD_INTERVAL=1 BOARD_SERVICE=_http._tcp.nothing.invalid. exec "$top/build/examples/visit-board-1.0") >>"$work/app.log" 2>&1 &
board=$!
jobs_started+=("$board")
t "visit-board starts" soon 5 curl -sf "$url/healthz"
t "its page says why it is empty" soon 20 sh -c "curl -s $url/ | grep -Eq 'has no SRV record|t be looked up'"
t_is "its history is empty" "" curl -s "$url/history"
kill -TERM "$board"
t "SIGTERM ends it in order" wait "$board"
