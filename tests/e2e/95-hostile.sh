#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Bodies of 3 MiB made to cost as much as a body can, by somebody who is signed in: each is answered, the server is
# well in between, and the same process serves at the end.
. "$(dirname "$0")/lib.sh"
[ -x /usr/bin/python3 ] || { echo "1..0 # SKIP python3 is not installed"; exit 77; }
cluster_up
t "a namespace" kubectl create namespace hostile
t "somebody who may write there" kubectl -n hostile create serviceaccount somebody
t "configMaps, pods, services" kubectl -n hostile create role writer --verb=create,patch,delete --resource=configmaps,pods,services
t "nothing else" kubectl -n hostile create rolebinding writer --role=writer --serviceaccount=hostile:somebody
kubectl config view --raw -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' | base64 -d >"$work/ca.crt"
server=$(kubectl config view --raw -o jsonpath='{.clusters[0].cluster.server}')
brain=$(pid_of brain)
attack() { /usr/bin/python3 tests/e2e/hostile.py "${server#https://}" "$work/ca.crt" "$(kubectl -n hostile create token somebody)"; }
attack >"$work/attack" 2>&1
say "$(tail -n 1 "$work/attack")"
t_is "a hundred hostile bodies are answered" "" sed '$d' "$work/attack"
t_has "all of them" '^1[0-9][0-9] bodies' tail -n 1 "$work/attack"
t_is "by a server that lives on" "$brain" pid_of brain
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$brain/status"; }
small() { [ "$(resident)" -lt 400000 ] || { resident; return 1; }; }
t "whose memory stays bounded" soon 60 small
say "$(resident) kB resident"
t "it works" kubectl create configmap after --from-literal=a=b
