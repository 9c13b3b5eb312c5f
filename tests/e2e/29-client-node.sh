#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The official JavaScript client (@kubernetes/client-node): lists, watches, an informer that outlives the brain,
# exec, attach and port-forward over WebSocket, apply. Needs Node and npm (tools/deps test).
. "$(dirname "$0")/lib.sh"
node_dir=$top/build/client-node
t "the client, as package.json names it" tests/e2e/client-node/fetch
if [ "$failed_count" != 0 ]; then exit 1; fi
ln -s "$node_dir/node_modules" "$work/node_modules"
cp tests/e2e/client-node/{main.js,package.json} "$work/"
js() { timeout 30 node "$work/main.js" "$@"; }
cluster_up build/images/busybox.tar
pod() { # NAME STDIN COMMAND
    printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"},"spec":{"restartPolicy":"Never","terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"busybox:1.35","stdin":%s,"command":["sh","-c","%s"]}]}}\n' "$@"
}
pod web false 'mkdir /www; echo hello >/www/index.html; echo begun; exec busybox httpd -f -p 80 -h /www' | kubectl create -f - >/dev/null
pod reader true 'while read x; do echo got $x; [ $x != end ] || exit 0; done' | kubectl create -f - >/dev/null
pod writer false 'for i in 1 2 3; do echo line $i; sleep 0.3; done' | kubectl create -f - >/dev/null
t "pods" kubectl wait --for=condition=Ready pod/web pod/reader pod/writer --timeout=10s

t_is "log, followed" $'line 1\nline 2\nline 3' js log writer c
t_is "version" v1.35.0 js version
t_has "list" $'reader Running\nweb Running' js list
t_is "list in pages" $'reader\nweb\nwriter' js pages
t_is "create, apply, patch, replace, delete" "created c1 1
again 409 configmaps \"c1\" already exists
applied c1 2
owner client-node
merged c1 3
replaced c1 4
made c1-more 5
deleted Success" js change c1


t_is "exec" out js exec web c echo out
t_is "exec's outputs and exit code" $'out\n7' sh -c "timeout 30 node '$work/main.js' exec web c sh -c 'echo out; echo err >&2; exit 7' 2>/dev/null; echo \$?"
t_is "exec with stdin" 3 sh -c "printf abc | timeout 30 node '$work/main.js' exec web c -i wc -c"
fails() { js "$@" && return 1 || return 0; }
t_has "exec in no container" 'failed' fails exec web no ls
t_is "port-forward" $'hello\nhello' js forward web 80
t_is "attach" $'got one\ngot end' sh -c "printf 'one\nend\n' | timeout 30 node '$work/main.js' attach reader c"

# Watches.
seen() { grep -c "^$1\$" "$work/informer.log"; }
has_seen() { [ "$(seen "$1")" = 1 ] || { cat "$work/informer.log"; return 1; }; }
node "$work/main.js" inform >"$work/informer.log" 2>&1 &
jobs_started+=($!)
node "$work/main.js" watch last >"$work/watch.log" 2>&1 &
jobs_started+=($!)
t "the informer begins with what there is" soon 10 has_seen "add c1 4"
t "a watch opens" soon 10 grep -q open "$work/watch.log"
kubectl create cm c0 --from-literal=a=b >/dev/null
t "and tells what comes" soon 10 has_seen "add c0 b"
brain=$(pid_of brain)
t "the brain is killed" kill -9 "$brain"
t "it is back" soon 30 kubectl get --raw /readyz
t "changes after it" sh -c 'kubectl create cm late --from-literal=a=1 && kubectl patch cm c1 -p "{\"data\":{\"a\":\"five\"}}" && kubectl delete cm c0'
t "the informer tells a new one" soon 20 has_seen "add late 1"
t "a change" soon 20 has_seen "update c1 five"
t "and an end" soon 20 has_seen "delete c0 b"
t_is "nothing twice" "" sh -c "grep -v -e connect -e error '$work/informer.log' | sort | uniq -d"
t "the plain watch ended with it" soon 20 sh -c "! kill -0 ${jobs_started[1]} 2>/dev/null"
