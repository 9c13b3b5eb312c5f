#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Helm beyond the story: failures and the way back (--atomic), hooks in their order and with their policies,
# look-ups, releases side by side, what Helm refuses to take over. The chart is made here, small and quick.
. "$(dirname "$0")/lib.sh"
cluster_up build/images/busybox.tar
bad() { "$@" 2>&1 && return 1 || return 0; }
is_v3=no
helm version --short | grep -q '^v3' && is_v3=yes
atomic=--rollback-on-failure server=--dry-run=server
[ $is_v3 = no ] || atomic=--atomic server=--dry-run
chart=$work/chart
mkdir -p "$chart/templates/tests"
printf 'apiVersion: v2\nname: small\nversion: 0.1.0\nappVersion: "1"\n' >"$chart/Chart.yaml"
printf 'image: busybox:1.35\nreplicas: 1\nhook: exit 0\ntest: exit 0\n' >"$chart/values.yaml"
cat >"$chart/templates/set.yaml" <<'EOF'
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}", labels: {rev: "{{ .Release.Revision }}"}}
spec: {selector: {app: "{{ .Release.Name }}"}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: "{{ .Release.Name }}"}
spec:
  serviceName: "{{ .Release.Name }}"
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: "{{ .Release.Name }}"}}
  template:
    metadata: {labels: {app: "{{ .Release.Name }}"}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: "{{ .Values.image }}", command: [sleep, "1000"]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data:
  seen: "{{ with lookup "v1" "Namespace" "" "default" }}{{ .metadata.name }}{{ end }}"
  has: "{{ .Capabilities.APIVersions.Has "apps/v1/StatefulSet" }}"
  version: "{{ .Capabilities.KubeVersion.Major }}"
EOF
hook() { # NAME EVENTS WEIGHT POLICY COMMAND
    cat <<EOF
apiVersion: v1
kind: Pod
metadata:
  name: "{{ .Release.Name }}-$1"
  annotations: {helm.sh/hook: "$2", helm.sh/hook-weight: "$3", helm.sh/hook-delete-policy: "$4"}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "busybox:1.35", command: [sh, -c, "$5"]}]
EOF
}
hook first pre-install,pre-upgrade -5 before-hook-creation 'cat /proc/uptime; {{ .Values.hook }}' >"$chart/templates/first.yaml"
hook second pre-install 5 before-hook-creation 'cat /proc/uptime' >"$chart/templates/second.yaml"
hook gone pre-rollback,post-upgrade,pre-delete 0 hook-succeeded,before-hook-creation 'exit 0' >"$chart/templates/gone.yaml"
hook test test 0 before-hook-creation '{{ .Values.test }}' >"$chart/templates/tests/test.yaml"
value() { kubectl get cm s -o "jsonpath={.data.$1}"; }
status_of() { helm status "$1" -o json | jq -r .info.status; }
revisions() { helm history "$1" -o json | jq -r '[.[].status] | join(" ")'; }

t_has "lint" '0 chart\(s\) failed' helm lint "$chart"
t_has "install --wait" 'STATUS: deployed' helm install s "$chart" --wait --timeout 30s
t_is "the set is ready" 1 kubectl get sts s -o 'jsonpath={.status.readyReplicas}'
t_is "templates look into the cluster" default value seen
t_is "and know its kinds" true value has
in_order() { sort -c -n <(kubectl logs s-first; kubectl logs s-second); }
t "hooks by weight" in_order
t_has "test" 'Phase: +Succeeded.*POD LOGS: s-test' helm test s --logs
t_has "upgrade, wait" 'STATUS: deployed' helm upgrade s "$chart" --set replicas=2 --wait --timeout 30s
t_is "two are ready" 2 kubectl get sts s -o 'jsonpath={.status.readyReplicas}'
t_is "a hook that succeeded is gone" "" kubectl get pod s-gone --ignore-not-found
t_has "a dry run of an upgrade" 'STATUS: pending-upgrade' helm upgrade s "$chart" --set replicas=5 $server
t_is "changes nothing" 2 kubectl get sts s -o 'jsonpath={.spec.replicas}'

# Failures.
t_has "a hook that fails" 'UPGRADE FAILED.*hook' bad helm upgrade s "$chart" --set hook='exit 3' --timeout 20s
t_is "is told" "superseded deployed failed" revisions s
t_has "the same with a way back" 'UPGRADE FAILED.*rolled back' bad helm upgrade s "$chart" --set hook='exit 3' $atomic --timeout 20s
t_is "the old stands" deployed status_of s
t_has "an install that doesn't get ready" 'INSTALLATION FAILED' bad helm install never "$chart" --set image=nothing:1 $atomic --timeout 3s
t_is "is taken away" "" kubectl get sts,svc,cm never --ignore-not-found -o name
t_has "and its name is free" 'STATUS: deployed' helm install never "$chart" --set image=busybox:latest --wait --timeout 30s
if [ $is_v3 = no ]; then # helm 3.8 asks before the set's status is of this change
    t_has "an upgrade that doesn't get ready" 'UPGRADE FAILED.*rolled back' bad helm upgrade never "$chart" --set image=nothing:1 $atomic --timeout 3s
    t "the pod that was is back" kubectl rollout status sts/never --timeout=20s
fi
t_has "a test that fails" 'Phase: +Failed|failed' bad sh -c "helm upgrade s '$chart' --set replicas=2,test='exit 1' >/dev/null && helm test s"
t_has "an object that isn't the chart's" 'invalid ownership metadata|exists and cannot be imported' bad sh -c "kubectl create cm taken >/dev/null && helm install taken '$chart'"
# Helm 3.17 passes the server's warning on, the others refuse.
t_has "a chart that isn't right" 'unknown field|field not declared in schema|ValidationError' sh -c "cp -r '$chart' '$work/wrong' && sed -i s/serviceName/serviceNam/ '$work/wrong/templates/set.yaml' && helm install wrong '$work/wrong' 2>&1; :"
t_has "a name in use" 'name that is still in use' bad helm install s "$chart"

# The way back and out.
t_has "rollback" 'Rollback was a success' helm rollback s 1 --wait --timeout 30s
t_is "to one" 1 kubectl get sts s -o 'jsonpath={.spec.replicas}'
t_has "install --create-namespace, same name elsewhere" 'NAMESPACE: n1' helm install s "$chart" -n n1 --create-namespace --wait --timeout 30s
t_is "list -A" "default n1" sh -c 'helm list -A -f "^s\$" -o json | jq -r "[.[].namespace] | sort | join(\" \")"'
t_has "get all" 'USER-SUPPLIED VALUES' helm get all s
t_has "upgrade --install of a new one" 'STATUS: deployed' helm upgrade --install fresh "$chart"
t_has "uninstall --keep-history" 'uninstalled' helm uninstall fresh --keep-history
t_is "keeps it" uninstalled status_of fresh
t_has "uninstall --wait" 'release "s" uninstalled' helm uninstall s --wait --timeout 30s
t_is "leaves nothing" "" kubectl get sts,svc,cm s --ignore-not-found -o name
t_is "nor a release" "" kubectl get secret -l name=s,owner=helm -o name
t "its namespace's twin goes with the namespace" kubectl delete ns n1 --timeout=30s
