#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Section 2 of the story: what get and describe show.
. "$(dirname "$0")/lib.sh"
story_up
t_table "kubectl get po,sts,svc,pvc" 'NAME READY STATUS RESTARTS AGE
pod/moscow-time-0 1/1 Running 0 <age>
pod/moscow-time-1 1/1 Running 0 <age>

NAME READY AGE
statefulset.apps/moscow-time 2/2 <age>

NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE
service/kubernetes ClusterIP <ip> <none> 443/TCP <age>
service/moscow-time ClusterIP <ip> <none> 5000/TCP <age>

NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE
persistentvolumeclaim/visits-data-moscow-time-0 Bound <volume> 512Mi RWO standard <unset> <age>
persistentvolumeclaim/visits-data-moscow-time-1 Bound <volume> 512Mi RWO standard <unset> <age>' \
    kubectl get po,sts,svc,pvc
t_is "the API has the address it always has" 10.96.0.1 field svc/kubernetes .spec.clusterIP
t_has "kubectl get sts -o wide" $'CONTAINERS +IMAGES\n.*moscow-time:1.0' kubectl get sts -o wide
t_has "kubectl get po -o wide" 'IP +NODE +NOMINATED NODE +READINESS GATES' kubectl get po -o wide
pod() { kubectl describe pod/moscow-time-0; }
for want in 'Status: +Running' 'Controlled By: +StatefulSet/moscow-time' 'Image: +moscow-time:1.0' 'Port: +5000/TCP' \
    'State: +Running' 'Ready: +True' 'Restart Count: +0' 'Liveness: +http-get http://:http/ ' 'Readiness: +http-get http://:http/ ' \
    '/app/data from visits-data \(rw\)' $'Conditions:\n.*Initialized +True.*Ready +True.*ContainersReady +True.*PodScheduled +True' \
    'ClaimName: +visits-data-moscow-time-0' 'QoS Class: +BestEffort' 'node.kubernetes.io/not-ready:NoExecute op=Exists for 300s' \
    'Scheduled .*Successfully assigned default/moscow-time-0' 'Pulled .*already present on machine' 'Created ' 'Started ' \
    'apps.kubernetes.io/pod-index=0' 'statefulset.kubernetes.io/pod-name=moscow-time-0'; do
    t_has "describe pod: ${want//$'\n'/ }" "$want" pod
done
for want in 'Replicas: +2 desired \| 2 total' 'Pods Status: +2 Running / 0 Waiting / 0 Succeeded / 0 Failed' 'Update Strategy: +RollingUpdate' \
    'Volume Claims:' 'Capacity: +512Mi' 'SuccessfulCreate +.*create Claim visits-data-moscow-time-0 Pod moscow-time-0 in StatefulSet moscow-time success' \
    'SuccessfulCreate +.*create Pod moscow-time-1 in StatefulSet moscow-time successful'; do
    t_has "describe sts: $want" "$want" kubectl describe sts/moscow-time
done
for want in 'Type: +ClusterIP' 'Port: +http +5000/TCP' 'TargetPort: +http/TCP' 'Endpoints: +10\.244\.[0-9.]+:5000,10\.244\.[0-9.]+:5000'; do
    t_has "describe svc: $want" "$want" kubectl describe svc/moscow-time
done
for want in 'Status: +Bound' 'Capacity: +512Mi' 'Access Modes: +RWO' 'Used By: +moscow-time-0' 'ProvisioningSucceeded'; do
    t_has "describe pvc: $want" "$want" kubectl describe pvc/visits-data-moscow-time-0
done
t_has "kubectl get nodes" 'Ready +.*v1.35' kubectl get nodes
t_has "kubectl get events" 'SuccessfulCreate' kubectl get events
t_has "kubectl logs" 'moscow-time 1.0 on port 5000' kubectl logs moscow-time-0
t_has "kubectl explain" 'serviceName' kubectl explain sts.spec
