#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Section 1 of the story: Helm's commands, hooks and tests.
. "$(dirname "$0")/lib.sh"
mapfile -t images < <(example_images)
cluster_up "${images[@]}"
chart=$charts/moscow-time/chart
t_has "helm install --dry-run=server" 'STATUS: pending-install' helm install moscow-time "$chart" --dry-run="$(helm version --short | grep -q '^v3' && echo true || echo server)"
t_is "a dry run makes nothing" "" kubectl get sts -o name
t_has "helm install" $'^NAME: moscow-time\nLAST DEPLOYED: [^\n]+\nNAMESPACE: default\nSTATUS: deployed\nREVISION: 1\n(DESCRIPTION: Install complete\n)?(TEST SUITE: [^\n]*\n)?NOTES:\n1. Get the application URL by running these commands:\n.*\n  kubectl --namespace default port-forward \$POD_NAME 8080:\$CONTAINER_PORT$' \
    helm install moscow-time "$chart"
t "both pods get ready" rollout_done
t_is "hook pods are gone by their delete policy" "" kubectl get po -l app.kubernetes.io/component=hook -o name
t_has "helm list" $'^NAME[^\n]*APP VERSION *\nmoscow-time\t[^\n]*deployed[^\n]*moscow-time-0.1.0' helm list
t_has "helm status" 'STATUS: deployed' helm status moscow-time
t_has "helm test" 'Phase: +Succeeded' helm test moscow-time
t_has "the test pod stays" 'moscow-time-test-connection +0/1 +Completed' kubectl get po
t_has "and its log is the answer" '^[0-9]+$' kubectl logs moscow-time-test-connection
t_has "helm upgrade --wait" 'STATUS: deployed' helm upgrade moscow-time "$chart" --set env.TITLE=Time --wait --timeout 90s
# Helm 3.8 waits by the counts of the status alone; kubectl also asks whether they are of this change.
t "all pods are replaced" rollout_done
t_is "the environment is in pod 0" Time kubectl exec moscow-time-0 -- sh -c 'echo $TITLE'
t_has "helm history" $'1 [^\n]*superseded[^\n]*Install complete *\n2 [^\n]*deployed[^\n]*Upgrade complete' helm history moscow-time
t_has "helm rollback" 'Rollback was a success' helm rollback moscow-time 1 --wait --timeout 90s
t_has "the history tells it" $'3 [^\n]*deployed[^\n]*Rollback to 1' helm history moscow-time
t_has "helm get values" 'USER-SUPPLIED VALUES' helm get values moscow-time
t_has "helm get manifest" 'kind: StatefulSet' helm get manifest moscow-time
t_fails "a second install of the same name" helm install moscow-time "$chart"
t_has "helm uninstall" 'release "moscow-time" uninstalled' helm uninstall moscow-time --wait --timeout 60s
t "its pods go" soon 40 is kubectl get po -l app.kubernetes.io/instance=moscow-time -o name = ""
t_is "its claims stay" $'persistentvolumeclaim/visits-data-moscow-time-0\npersistentvolumeclaim/visits-data-moscow-time-1' kubectl get pvc -o name

t_has "hooks without a policy that removes them" 'STATUS: deployed' helm install again "$chart" --set hooks.deletePolicy=before-hook-creation --wait --timeout 90s
t_has "stay as Completed" $'again-moscow-time-post-install +0/1 +Completed.*\nagain-moscow-time-pre-install +0/1 +Completed' kubectl get po
t_has "the hook saw the name of the service" 'Name:.again-moscow-time.default.svc.cluster.local' kubectl logs again-moscow-time-post-install
t_has "helm install --create-namespace" 'NAMESPACE: elsewhere' helm install third "$chart" -n elsewhere --create-namespace --wait --timeout 90s
t_has "helm list -A" $'again.*\n.*third' helm list -A
