# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the end-to-end scripts share: a cluster of their own in a temporary folder, the clients, waiting with a
# bound, and test lines ("ok 3 - ..."). A script sources this, calls cluster_up, then `t...` functions; the trap
# removes the cluster and all background jobs on every way out and prints the totals as "1..N".
#
# Environment: CORACLE (the binary), E2E_CLIENTS (a folder with kubectl and helm), E2E_TMP (where temporary
# folders go, default /tmp).
set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
coracle=${CORACLE:-$top/build/release/coracle}
PATH=${E2E_CLIENTS:-$top/build/clients/new}:$PATH:/usr/sbin:/sbin
work=$(mktemp -d "${E2E_TMP:-/tmp}/coracle-e2e-XXXXXX")
chmod 755 "$work"
name=e2e-$$
data=$work/data
export KUBECONFIG=$work/kubeconfig HOME=$work/home HELM_CONFIG_HOME=$work/helm HELM_CACHE_HOME=$work/helm HELM_DATA_HOME=$work/helm
mkdir -p "$HOME"
charts=$top/examples
tests_count=0 failed_count=0 jobs_started=()

say() { printf '# %s\n' "$*"; }

pass() { tests_count=$((tests_count + 1)); printf 'ok %d - %s\n' "$tests_count" "$1"; }
fail() { # name [text]
    tests_count=$((tests_count + 1)) failed_count=$((failed_count + 1))
    printf 'not ok %d - %s\n' "$tests_count" "$1"
    [ -z "${2:-}" ] || printf '%s\n' "$2" | head -n 40 | sed 's/^/#   /'
}

# t NAME COMMAND...: the command, run in this shell, must succeed. Its output is left in $out.
t() {
    local what=$1 rc
    shift
    "$@" >"$work/out" 2>&1
    rc=$?
    out=$(<"$work/out")
    if [ $rc = 0 ]; then pass "$what"; else fail "$what" "$* (exit $rc)"$'\n'"$out"; fi
}
# t_fails NAME COMMAND...: the command must fail.
t_fails() {
    local what=$1
    shift
    if out=$("$@" 2>&1); then fail "$what" "$* succeeded"$'\n'"$out"; else pass "$what"; fi
}
# t_is NAME WANT COMMAND...: the command must succeed and print exactly WANT.
t_is() {
    local what=$1 want=$2
    shift 2
    out=$("$@" 2>&1)
    local rc=$?
    if [ $rc = 0 ] && [ "$out" = "$want" ]; then pass "$what"; else fail "$what" "$* (exit $rc)"$'\nwant: '"$want"$'\ngot:  '"$out"; fi
}
# t_has NAME PATTERN COMMAND...: the command must succeed and its output match the extended regular expression.
t_has() {
    local what=$1 pattern=$2
    shift 2
    out=$("$@" 2>&1)
    local rc=$?
    if [ $rc = 0 ] && [[ $out =~ $pattern ]]; then pass "$what"; else fail "$what" "$* (exit $rc)"$'\nwant: '"$pattern"$'\ngot:  '"$out"; fi
}
# t_table NAME WANT COMMAND...: as t_is, after ages, addresses and volume names are replaced and blanks squeezed.
t_table() {
    local what=$1 want=$2
    shift 2
    out=$("$@" 2>&1)
    local rc=$? got
    got=$(sed -E 's/[[:space:]]+$//; s/(^| )([0-9]+[dhms])+$/\1<age>/; s/pvc-[0-9a-f-]{36}/<volume>/g; s/\b10\.[0-9]+\.[0-9]+\.[0-9]+\b/<ip>/g; s/ +/ /g' <<<"$out")
    if [ $rc = 0 ] && [ "$got" = "$want" ]; then pass "$what"; else
        fail "$what" "$* (exit $rc)"$'\n'"$(diff <(echo "$want") <(echo "$got"))"
    fi
}
# soon SECONDS COMMAND...: repeats the command until it succeeds; fails when the time is over.
soon() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >"$work/soon" 2>&1; do
        if [ $SECONDS -ge $until ]; then cat "$work/soon"; return 1; fi
        sleep 0.1
    done
    cat "$work/soon"
}
is() { # COMMAND... = WANT: true when the command prints exactly WANT
    local want=${*: -1} got
    if ! got=$("${@:1:$#-2}") || [ "$got" != "$want" ]; then
        echo "got '$got', want '$want'"
        return 1
    fi
}
# in_background COMMAND...: runs until the script ends.
in_background() {
    "$@" >>"$work/background.log" 2>&1 &
    jobs_started+=($!)
}

cluster_up() {
    t "coracle up" "$coracle" up --name "$name" --data "$data" --kubeconfig "$KUBECONFIG"
    if [ "$failed_count" != 0 ]; then exit 1; fi
    [ $# = 0 ] || t "images load" "$coracle" image load "$@" --name "$name" --data "$data"
}
example_images() { printf '%s\n' build/images/{busybox,moscow-time,visit-board}.tar; }
# The cluster with the story's app, both pods ready. Arguments go to helm.
story_up() {
    local images
    mapfile -t images < <(example_images)
    cluster_up "${images[@]}"
    t "helm install moscow-time" helm install moscow-time "$charts/moscow-time/chart" "$@"
    t "both pods get ready" rollout_done
}
# pid_of keeper|init|brain
pid_of() { "$coracle" status --name "$name" --data "$data" --json | grep -A 3 "\"$1\"" | sed -n 's/.*"pid": *\([1-9][0-9]*\).*/\1/p' | grep .; }
rollout_done() { kubectl rollout status sts/moscow-time --timeout=60s; }
# A pod that was deleted may not be there yet; kubectl wait gives up on what it doesn't find.
ready_again() { soon 40 kubectl wait --for=condition=Ready "pod/$1" --timeout=2s; }
visits() { kubectl exec "pod/moscow-time-$1" -- cat data/visits; }
field() { kubectl get "$1" -o jsonpath="{$2}"; }

on_exit() {
    local rc=$?
    trap - EXIT INT TERM
    local pid
    for pid in ${jobs_started[@]+"${jobs_started[@]}"}; do kill "$pid" 2>/dev/null; done
    if [ "$failed_count" != 0 ] && [ -s "$work/background.log" ]; then tail -n 10 "$work/background.log" | sed "s/^/# background: /"; fi
    if [ -d "$data" ]; then
        if [ "$failed_count" != 0 ] && [ -f "$data/coracle.log" ]; then tail -n 30 "$data/coracle.log" | sed 's/^/# log: /'; fi
        "$coracle" delete --yes --name "$name" --data "$data" >"$work/delete.log" 2>&1 || fail "coracle delete" "$(cat "$work/delete.log")"
    fi
    rm -rf "$work"
    printf '1..%d\n' "$tests_count"
    [ $rc = 0 ] && [ "$failed_count" = 0 ]
    exit
}
trap on_exit EXIT
trap 'exit 130' INT TERM
