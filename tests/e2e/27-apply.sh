#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Changing objects from files: apply on both sides, who owns what, diff, replace, edit, patches of sets and pods,
# and what may not change, in upstream's words. Any supported client.
. "$(dirname "$0")/lib.sh"
cluster_up build/images/busybox.tar
bad() { "$@" 2>&1 && return 1 || return 0; }
image=busybox:1.35
set_of() { # IMAGE REPLICAS [SERVICE NAME]
    cat <<EOF
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web, labels: {a: b}}
spec:
  serviceName: ${3:-web}
  replicas: $2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: web, image: "$1", command: [sleep, '1000'], ports: [{containerPort: 80}]}
      - {name: side, image: "$image", command: [sleep, '1000'], env: [{name: A, value: b}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
EOF
}
pod_of() { # SECONDS
    printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"%s","command":["sleep","%s"]}]}}' $image "$1"
}
set_of $image 1 >"$work/set.yaml"
set_of busybox:latest 1 >"$work/new.yaml"
set_of $image 1 other >"$work/bad.yaml"
pod_of 1000 >"$work/pod.json"
pod_of 1001 >"$work/pod2.json"
image_of() { kubectl get sts web -o 'jsonpath={.spec.template.spec.containers[0].image}'; }

# On the client's side.
t_is "apply" "statefulset.apps/web created" kubectl apply -f "$work/set.yaml"
# kubectl sends the claim templates again, since the server has filled them in: "configured", as upstream.
t "again" kubectl apply -f "$work/set.yaml"
t_is "changes nothing" 1 kubectl get sts web -o 'jsonpath={.metadata.generation}'
t "ready" kubectl rollout status sts/web --timeout=20s
t_has "diff of a template" $'-        image: busybox:1.35\n\\+        image: busybox:latest\n' bad kubectl diff -f "$work/new.yaml"
t_is "apply an image" "statefulset.apps/web configured" kubectl apply -f "$work/new.yaml"
t_is "the other container stays as it was" '[{"name":"A","value":"b"}]' kubectl get sts web -o 'jsonpath={.spec.template.spec.containers[1].env}'
t "rolled out" kubectl rollout status sts/web --timeout=20s
t_has "what was applied last" 'image: busybox:latest' kubectl apply view-last-applied sts web
t_is "a new object by server dry run" "pod/p created (server dry run)" kubectl apply --dry-run=server -f "$work/pod.json"
t_is "makes none" "" kubectl get pod p --ignore-not-found
t_is "what others set stays" "true" sh -c 'kubectl annotate sts web mine=true >/dev/null && kubectl apply -f "'"$work/set.yaml"'" >/dev/null && kubectl get sts web -o "jsonpath={.metadata.annotations.mine}"'

# Edits and patches of lists with keys.
t_is "edit" "statefulset.apps/web edited" env KUBE_EDITOR='sed -i s/value:.b/value:\ c/' kubectl edit sts web
t_is "edited" c kubectl get sts web -o 'jsonpath={.spec.template.spec.containers[1].env[0].value}'
t_has "an edit of nothing" 'Edit cancelled' env KUBE_EDITOR=true kubectl edit sts web
t_is "patch one container by its name" "statefulset.apps/web patched" kubectl patch sts web -p '{"spec":{"template":{"spec":{"containers":[{"name":"side","env":[{"name":"B","value":"d"}]}]}}}}'
t_is "adds to its list" "A B" sh -c "kubectl get sts web -o 'jsonpath={.spec.template.spec.containers[1].env[*].name}' | tr ' ' '\n' | sort | paste -sd' '"
t_is "a list's directive" "statefulset.apps/web patched" kubectl patch sts web -p '{"spec":{"template":{"spec":{"containers":[{"name":"side","$patch":"delete"}]}}}}'
t_is "one container left" web kubectl get sts web -o 'jsonpath={.spec.template.spec.containers[*].name}'
t_is "replace" "statefulset.apps/web replaced" kubectl replace -f "$work/set.yaml"
t_is "both are back" "web side" kubectl get sts web -o 'jsonpath={.spec.template.spec.containers[*].name}'
t_has "replace of what isn't there" 'pods "p" not found' bad kubectl replace -f "$work/pod.json"

# On the server's side.
t "server-side apply takes over what the client applied" kubectl apply --server-side --force-conflicts -f "$work/set.yaml"
t_has "another manager is refused" 'Apply failed with [0-9]+ conflicts?: conflicts? with "kubectl"' bad kubectl apply --server-side --field-manager=bob -f "$work/new.yaml"
t_has "with the list's key" '\.spec\.template\.spec\.containers\[name="web"\]\.image' printf '%s' "$out"
t_is "nothing changed" $image image_of
t_is "force" "statefulset.apps/web serverside-applied" kubectl apply --server-side --field-manager=bob --force-conflicts -f "$work/new.yaml"
t_is "changed" busybox:latest image_of
owner() { kubectl get sts web -o json --show-managed-fields 2>/dev/null || kubectl get sts web -o json; }
owners_of_image() { owner | jq -r '[.metadata.managedFields[] | select(.fieldsV1["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"web\"}"]["f:image"] != null) | .manager] | join(" ")'; }
t_is "bob owns it alone" bob owners_of_image
t_is "the same values are shared, not fought for" "statefulset.apps/web serverside-applied" kubectl apply --server-side --field-manager=eve --force-conflicts -f "$work/new.yaml"
t_is "both own it" "bob eve" sh -c "$(declare -f owner owners_of_image); owners_of_image | tr ' ' '\n' | sort | paste -sd' '"
t_has "an unknown field" 'field not declared in schema|unknown field' bad kubectl apply --server-side --validate=false --field-manager=x -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"u"},"nope":1}'

# What may not change.
t_has "a set's service" "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden" bad kubectl apply --server-side --force-conflicts -f "$work/bad.yaml"
t_has "a set's selector" 'spec.template.metadata.labels: Invalid value: .*`selector` does not match template `labels`' bad kubectl patch sts web -p '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}'
t_has "no negative count" 'spec.replicas: Invalid value: -1: must be greater than or equal to 0' bad kubectl patch sts web -p '{"spec":{"replicas":-1}}'
t_is "a pod" "pod/p created" kubectl apply -f "$work/pod.json"
t_has "its command, told with the difference" $'pod updates may not change fields other than `spec.containers\\[\\*\\].image`.*\n- containers\\[0\\].command\\[1\\]: "1000"\n\\+ containers\\[0\\].command\\[1\\]: "1001"' bad kubectl apply -f "$work/pod2.json"
t_has "its containers" 'spec.containers: Forbidden: pod updates may not add or remove containers' bad kubectl patch pod p -p '{"spec":{"containers":[{"name":"d","image":"busybox:1.35"}]}}'
t_is "its image may" "pod/p patched" kubectl patch pod p -p '{"spec":{"containers":[{"name":"c","image":"busybox:latest"}]}}'
t_has "replace --force makes it anew" 'pod/p replaced' kubectl replace --force -f "$work/pod2.json"
t_has "a claim's modes" $'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n- accessModes\\[0\\]: "ReadWriteOnce"\n\\+ accessModes\\[0\\]: "ReadWriteMany"' bad kubectl patch pvc data-web-0 -p '{"spec":{"accessModes":["ReadWriteMany"]}}'
t_has "a claim's size, downward" 'field can not be less than' bad kubectl patch pvc data-web-0 -p '{"spec":{"resources":{"requests":{"storage":"1Ki"}}}}'
t_has "a name is for life" 'the name of the object .* does not match' bad kubectl replace --raw /api/v1/namespaces/default/pods/p -f <(sed 's/"name":"p"/"name":"q"/' "$work/pod.json")
t_has "a wrong type" 'cannot unmarshal string into Go struct field|unrecognized type' bad kubectl patch sts web -p '{"spec":{"replicas":"a"}}'

# Folders, kustomizations, pruning.
mkdir "$work/k"
printf 'namePrefix: k-\nresources: [cm.yaml]\nconfigMapGenerator: [{name: gen, literals: [a=b]}]\n' >"$work/k/kustomization.yaml"
printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"plain","labels":{"p":"q"}}}' >"$work/k/cm.yaml"
t_has "apply -k" 'configmap/k-plain created' kubectl apply -k "$work/k"
t_has "again" $'configmap/k-gen-[a-z0-9]+ unchanged\nconfigmap/k-plain unchanged' kubectl apply -k "$work/k"
t_has "delete -k" 'configmap "k-plain" deleted' kubectl delete -k "$work/k"
t "two of a label" sh -c "kubectl apply -f '$work/k/cm.yaml' && sed s/plain/gone/ '$work/k/cm.yaml' | kubectl apply -f -"
prune=--prune-allowlist
kubectl apply --help 2>&1 | grep -q -e $prune || prune=--prune-whitelist
t_has "apply --prune" 'configmap/gone pruned' kubectl apply --prune -l p=q $prune=core/v1/ConfigMap -f "$work/k/cm.yaml"
t_has "apply of a list" 'configmap/l1 created' kubectl apply -f - <<<'{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"l1"}}]}'
t_has "delete -f" 'statefulset.apps "web" deleted' kubectl delete -f "$work/set.yaml" --timeout=20s
