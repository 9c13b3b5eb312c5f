#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The charts without a cluster: they lint, refuse wrong values, and carry the library chart as it is.
. "$(dirname "$0")/lib.sh"
for app in moscow-time visit-board; do
    chart=$charts/$app/chart
    t "$app: the vendored library is the library" diff -r "$charts/common-lib" "$chart/charts/common-lib"
    t_has "$app: helm lint" '1 chart\(s\) linted, 0 chart\(s\) failed' helm lint "$chart"
    t_has "$app: helm template" 'kind: StatefulSet' helm template x "$chart"
    t_has "$app: the pods are named below the service" 'serviceName: x-'"$app" helm template x "$chart"
    for bad in replicaCount=-1 updateStrategy.type=Sometimes podManagementPolicy=Random service.port=http replicas=3 persistence.size=big; do
        t_fails "$app: $bad is refused" helm template x "$chart" --set "$bad"
    done
    cp -r "$charts" "$work/charts-$app"
    t "$app: helm dependency build works offline" helm dependency build "$work/charts-$app/$app/chart"
done
template() { helm template "$@"; }
chart=$charts/moscow-time/chart
t_has "Parallel by value" 'podManagementPolicy: Parallel' template x "$chart" --set podManagementPolicy=Parallel
t_has "the headless service by value" 'clusterIP: None' template x "$chart" --set headless.enabled=true
t_has "visit-board keeps pod 0 by default" 'partition: 1' template x "$charts/visit-board/chart"
t_has "visit-board: OnDelete by value" 'type: OnDelete' template x "$charts/visit-board/chart" --set updateStrategy.type=OnDelete
t_has "visit-board: another headless service by value" '_http\._tcp\.mine' template x "$charts/visit-board/chart" --set target.service=mine
