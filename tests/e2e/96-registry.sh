#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Images from registries: pulled by pods and by command, from Debian's docker-registry and from one of our own with bad
# manners (registry.py), with secrets, mirrors, certificates, interrupted and lying transfers; what goes again.
. "$(dirname "$0")/lib.sh"
if ! command -v docker-registry >/dev/null || ! [ -x /usr/bin/python3 ]; then
    say "docker-registry or python3 is not installed"
    exit 77
fi
push() { /usr/bin/python3 tests/e2e/push.py "$@"; }
pull() { "$coracle" image pull "$@" --name "$name" --data "$data"; }
image() { "$coracle" image "$@" --name "$name" --data "$data"; }
moscow=build/images/moscow-time.tar
busybox=build/images/busybox.tar

# Ours, in the clear and over TLS; then Debian's, with a password.
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout "$work/key" -out "$work/cert" 2>/dev/null
in_background /usr/bin/python3 tests/e2e/registry.py "$work/port" "$work/requests"
in_background /usr/bin/python3 tests/e2e/registry.py "$work/tls-port" "$work/tls-requests" --tls "$work/cert" "$work/key"
# Registries on loopback are asked through no proxy.
http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 cluster_up
t "the registries listen" soon 10 test -s "$work/port" -a -s "$work/tls-port"
port=$(<"$work/port") here=127.0.0.1:$port url=http://127.0.0.1:$port secure=127.0.0.1:$(<"$work/tls-port")
debian=127.0.0.1:$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
/usr/bin/python3 -W ignore -c 'import crypt; print("me:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))' >"$work/htpasswd"
printf '%s\n' 'version: 0.1' 'log: {level: error}' "storage: {filesystem: {rootdirectory: $work/registry}}" \
    "http: {addr: '$debian'}" "auth: {htpasswd: {realm: tests, path: $work/htpasswd}}" >"$work/registry.yml"
in_background docker-registry serve "$work/registry.yml"


targets=()
for manner in slow cutting cut norange moved loop wrong long liar html huge swapped busy broken token public expiring basic shared/one mirrored always; do
    targets+=("$url/$manner/app:1")
done
t "images are pushed" push new "${targets[@]}"
t "and busybox" push $busybox:latest "$url/plain/busybox:1" "$url/private/busybox:1"

# What takes long goes on beside the rest.
pull "$here/slow/app:1" >"$work/slow" 2>&1 &
slow=$!
pull "$here/cutting/app:1" >"$work/cutting" 2>&1 &
cutting=$!
jobs_started+=($slow $cutting)

push_debian() { push --user me:secret "$1" "http://$debian/$2"; }
t "an image is pushed to docker-registry" soon 10 push_debian $moscow:1.0 moscow-time:1.0

say "pods wait"
run() { # NAME IMAGE FIELDS...: a pod
    kubectl run "$1" --image="$2" --restart=Never --grace-period=1 --overrides="{\"spec\":{$3}}" -- sleep 1000
}
waits() { kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].state.waiting.reason}: {.status.containerStatuses[0].state.waiting.message}' | grep -E "$2"; }
events() { kubectl get events --field-selector "involvedObject.name=$1" -o jsonpath='{range .items[*]}{.type} {.reason} {.message}{"\n"}{end}'; }
t "for an image that nobody has yet" run late "$here/late/app:1" ''
t "for one that comes slowly" run slowly "$here/slow/app:1" ''
t "for a registry without a password" run denied "$debian/moscow-time:1.0" '"imagePullSecrets":[{"name":"none"}]'
kubectl run never --image="$here/never/app:1" --image-pull-policy=Never --restart=Never >/dev/null
run invalid x '"containers":[{"name":"invalid","image":"Bad:Name"}]' >/dev/null
t "the image that was missing is told" soon 10 waits late '^ImagePullBackOff: Back-off pulling image ".*": ErrImagePull: .*not found'
t_has "in events" 'Normal Pulling Pulling image' events late
t_has "that end in back-off" 'Normal BackOff Back-off pulling image' echo "$out"
t_has "with errors" 'Warning Failed Failed to pull image.*Warning Failed Error: ErrImagePull.*Warning Failed Error: ImagePullBackOff' echo "${out//$'\n'/ }"
t "the image comes late" push $busybox:latest "$url/late/app:1"

say "by command"
t_has "an image is pulled" "^pulled $here/plain/busybox:1 \(sha256:[0-9a-f]{64}, 2\.0 MB\)$" pull "$here/plain/busybox:1"
t_has "and listed" "$here/plain/busybox:1 +[0-9a-f]{12} +2\.0 MB" image list
t_has "progress is shown on a terminal" 'always/app:1: 0 of 1 layers, 0\.[0-9] of 0\.2 MB' script -qec "$coracle image pull $here/always/app:1 --name $name --data $data" /dev/null
blobs_asked() { grep -c "GET /v2/$1/blobs/.* 20[06]$" "$work/requests"; }
t "the same again" pull "$here/plain/busybox:1"
t_is "fetches nothing again" 2 blobs_asked plain/busybox
t "but asks whether it is the same" grep -q "HEAD /v2/plain/busybox/manifests/1 - - 200" "$work/requests"
t "the same under another name" pull "$here/private/busybox:1"
t_is "has its layer already" 1 blobs_asked private/busybox
for how in gzip zstd index docker; do
    t "an image is pushed as $how" push --as $how new "$url/$how/app:1"
    t "and pulled" pull "$here/$how/app:1"
done
digest=$(image list --json | jq -r '.images[].names[]' | grep -F "$here/index/app@")
t_has "by digest of its index" "^pulled $digest \(" pull "$digest"
owners() { find "$1/images/layers" -name owned -exec stat -c %u:%g:%a {} + | sort -u; }
mapped() { awk -F: -v name="$1" -v id="$3" '$1 == name { print $2 + id - 1; exit }' "$2"; } # with sub-ids, 0 is the user
one=$(id -u) group=$(id -g)
[ "$one" = 0 ] && one=1234 group=5678
[ -z "$(mapped "$(id -un)" /etc/subuid 1)" ] || one=$(mapped "$(id -un)" /etc/subuid 1234) group=$(mapped "$(id -un)" /etc/subgid 5678)
t_is "files have their owners" "$one:$group:2750" owners "$data"
t_fails "a name that is none" pull Bad:Name
t_has "says so" 'invalid reference format' echo "$out"

say "who may"
t_fails "without a password" pull "$here/basic/app:1"
t_has "access is denied" 'pull access denied.*401 Unauthorized' echo "$out"
printf '{"auths":{"%s":{"auth":"%s"}}}' "$here" "$(printf me:secret | base64)" >"$work/auth.json"
printf '{"auths":{"%s":{"username":"me","password":"wrong"}}}' "$here" >"$work/wrong.json"
t "with one" pull "$here/basic/app:1" --authfile "$work/auth.json"
t_fails "a token server refuses" pull "$here/token/app:1" --authfile "$work/wrong.json"
t_has "in words" 'token server http://.*: 401 Unauthorized' echo "$out"
mkdir -p "$HOME/.docker"
cp "$work/auth.json" "$HOME/.docker/config.json"
t "the user's own password gets a token" pull "$here/token/app:1"
mkdir "$work/bin"
printf '#!/bin/sh\nread -r server\n[ "$1 $server" = "get %s" ] || { echo "credentials not found in native keychain"; exit 1; }\necho '\''{"ServerURL":"x","Username":"me","Secret":"secret"}'\' "$here" >"$work/bin/docker-credential-good"
printf '#!/bin/sh\nexec yes\n' >"$work/bin/docker-credential-endless"
printf '#!/bin/sh\necho locked\nexit 3\n' >"$work/bin/docker-credential-locked"
chmod +x "$work"/bin/*
helped() { # CONFIG IMAGE: with this docker configuration
    printf '%s' "$1" >"$work/helper.json"
    PATH=$work/bin:$PATH pull "$2" --authfile "$work/helper.json" 2>&1
}
t "a credential helper has the password" helped '{"credHelpers":{"'"$here"'":"good"}}' "$here/basic/app:1"
t "a store for all registries too" helped '{"auths":{"'"$here"'":{}},"credsStore":"good"}' "$here/basic/app:1"
t_has "one that knows nothing says nothing" '^pulled ' helped '{"credsStore":"good"}' "localhost:$port/plain/busybox:1"
while read -r helper pattern; do
    t_fails "helper $helper gives none" helped '{"credsStore":"'"$helper"'"}' "$here/basic/app:1"
    t_has "which is told: $helper" "credential helper 'docker-credential-$helper': $pattern.*going on without.*401 Unauthorized" echo "${out//$'\n'/ }"
done <<'END'
endless its answer is over 65536 bytes
locked it ended with code 3: locked
missing start it: (No such file or directory|Permission denied)
../locked not a helper's name
END
t "nobody's token" pull "$here/public/app:1"
t "tokens that are used up are fetched anew" pull "$here/expiring/app:1"
t "blobs on another host" pull "$here/moved/app:1"
t "which gets no password" grep -qE 'GET /v2/plain/app/blobs/sha256:[0-9a-f]+ - - 200' "$work/requests"
t "TLS of an unknown authority is refused" grep -q 'certificate' <(pull "$secure/plain/app:1" 2>&1)
push_tls() { SSL_CERT_FILE=$work/cert push new "https://$secure/$1"; }
t "an image is pushed over TLS" push_tls plain/app:1
cat >"$data/registries.yaml" <<END
mirrors:
  docker.io: {endpoint: ["http://127.0.0.1:1", "$url"]}
configs:
  "$secure": {tls: {ca_file: $work/cert}}
END
t "registries.yaml names the authority" pull "$secure/plain/app:1"
t_has "and mirrors, of which the first is down" '^pulled docker.io/mirrored/app:1' pull mirrored/app:1
t "that are told whose image it is" grep -q 'GET /v2/mirrored/app/manifests/1?ns=docker.io' "$work/requests"

say "bad manners"
t "a blob that is cut off goes on" pull "$here/cut/app:1"
t "where it stopped" grep -qE 'GET /v2/cut/app/blobs/sha256:[0-9a-f]+ - bytes=[1-9][0-9]+- 206' "$work/requests"
t "or from the start" pull "$here/norange/app:1"
while read -r manner pattern; do
    t_fails "$manner" pull "$here/$manner/app:1"
    t_has "$manner: is told" "$here/$manner/app:1.*$pattern" echo "$out"
done <<'END'
loop Maximum \(5\) redirects followed
wrong the registry sent bytes with digest sha256:
long the registry sends more than the [0-9]+ bytes of its manifest
liar the registry announces [0-9]+ bytes \(Content-Length\), the manifest [0-9]+
html answered with 'text/html', expected a manifest
huge the answer is over 4194304 bytes
swapped the manifest has digest sha256:[0-9a-f]+, not sha256:
busy 429 Too Many Requests: TOOMANYREQUESTS
broken 500 Internal Server Error
missing not found.*MANIFEST_UNKNOWN
END
wait "$cutting"
t_has "one that always cuts off is given up" "cutting/app:1\": blob sha256:[0-9a-f]+: .*(closed|ended after)" cat "$work/cutting"

say "by pods"
t "the missing password" waits denied 'ImagePull.*pull access denied'
t_has "and the missing secret" 'Warning FailedToRetrieveImagePullSecret Unable to retrieve some image pull secrets \(none\)' events denied
t "policy Never" waits never '^ErrImageNeverPull: .* is not present with pull policy of Never'
t "a name that is none" waits invalid '^InvalidImageName: .*invalid reference format'
t "a pod goes while its image comes" timeout 10 kubectl delete pod slowly denied
kubectl create secret docker-registry mine --docker-server="$debian" --docker-username=me --docker-password=secret >/dev/null
ready() { kubectl wait --for=condition=Ready --timeout=20s "$@"; }
t "a pod with a secret" run secret "$debian/moscow-time:1.0" '"imagePullSecrets":[{"name":"mine"}]'
t "runs" ready pod/secret
t_has "its image was pulled" 'Normal Pulled Successfully pulled image ".*" in [0-9.]+m?s \([0-9.]+m?s including waiting\)\. Image size: [0-9]+ bytes\.' events secret
t_has "and has its digest" "^$debian/moscow-time@sha256:[0-9a-f]{64}$" kubectl get pod secret -o jsonpath='{.status.containerStatuses[0].imageID}'
t "a pod without the secret" run without "$debian/moscow-time:1.0" ''
t "and one that never pulls" run without-never "$debian/moscow-time:1.0" '"containers":[{"name":"without-never","image":"'$debian'/moscow-time:1.0","imagePullPolicy":"Never"}]'
kubectl create secret docker-registry same --docker-server="$debian" --docker-username=me --docker-password=secret >/dev/null
t "a pod with another secret of the same password" run same "$debian/moscow-time:1.0" '"imagePullSecrets":[{"name":"same"}]'
t "runs" ready pod/same
t_has "without asking" 'already present on machine and can be accessed by the pod' events same
t "the first one's password changes" kubectl patch secret mine -p "{\"data\":{\".dockerconfigjson\":\"$(printf '{"auths":{"%s":{"username":"me","password":"new"}}}' "$debian" | base64 -w 0)\"}}"
t "a pod with it" run changed "$debian/moscow-time:1.0" '"imagePullSecrets":[{"name":"mine"}]'
t "runs" ready pod/changed
kubectl delete secret mine >/dev/null
kubectl create secret docker-registry mine --docker-server="$debian" --docker-username=me --docker-password=secret >/dev/null
t "the pod without a secret does not get the image" soon 20 waits without 'ImagePull.*pull access denied'
t "nor does the one that never pulls" soon 10 waits without-never '^ErrImageNeverPull: .* is not present with pull policy of Never'
t "by command it is for all" pull "$debian/moscow-time:1.0" --authfile <(printf '{"auths":{"%s":{"username":"me","password":"secret"}}}' "$debian")
t "one that never pulls" run never-all "$debian/moscow-time:1.0" '"containers":[{"name":"never-all","image":"'$debian'/moscow-time:1.0","imagePullPolicy":"Never"}]'
t "runs" ready pod/never-all
t "they go" kubectl delete pod without without-never never-all same changed --grace-period=1 --wait=false
t "image prune keeps what runs" image prune --all
t "it has it still" grep -q "$debian/moscow-time:1.0" <(image list)
t "the service account gets the secret" kubectl patch serviceaccount default -p '{"imagePullSecrets":[{"name":"mine"}]}'
t "another image for it" push_debian $moscow:1.1 moscow-time:1.1
t "a pod of the account" run account "$debian/moscow-time:1.1" ''
t "runs" ready pod/account
t "busybox, always" kubectl run always --image="$here/plain/busybox:1" --image-pull-policy=Always --restart=Never -- sleep 1000
t "runs" ready pod/always
asked() { grep -cE "(HEAD|GET) /v2/plain/busybox/manifests/1 .* 200$" "$work/requests"; }
before=$(asked)
t "a second pod, always" kubectl run again --image="$here/plain/busybox:1" --image-pull-policy=Always --restart=Never -- sleep 1000
t "a third, if it is not there" kubectl run present --image="$here/plain/busybox:1" --image-pull-policy=IfNotPresent --restart=Never -- sleep 1000
t "both run" ready pod/again pod/present
t_is "one of them asked the registry" $((before + 1)) asked
t_has "the other did not need to" 'Normal Pulled Container image ".*" already present on machine' events present
t "an archive's name" image load build/images/busybox.tar
t "is never asked for at a registry" kubectl run archive --image=busybox --restart=Never -- sleep 1000
t "its pod runs" ready pod/archive
t "the pod whose image came late runs" kubectl wait --for=condition=Ready --timeout=60s pod/late

say "what goes"
wait "$slow"
t_has "a slow registry is given up" 'slow/app:1.*Operation too slow' cat "$work/slow"
t "an image" pull "$here/shared/one/app:1"
t "a tag moves" push new "$url/shared/one/app:1"
t "to another image" pull "$here/shared/one/app:1"
t_has "prune takes what has no tag" "^removed $here/shared/one/app@sha256:[0-9a-f]{64}$" image prune
t "and what came only in part" test -z "$(find "$data/images/download" -type f)"
layers() { find "$data/images/layers" -mindepth 1 -maxdepth 1 | wc -l; }
t "prune --all takes the rest" image prune --all
t_is "three layers are in use, one is the empty one" 4 layers
t_is "pods go on" 7 grep -c Running <(kubectl get pods --no-headers)
pull "$here/slow/app:1" >"$work/slow" 2>&1 &
slow=$!
jobs_started+=($slow)
keeper=$(head -n 1 "$data/lock")
worker() { pgrep -P "$keeper" -f image-worker; }
no_worker() { ! worker; }
t "a worker pulls" soon 5 worker
confined() { tr "\n\t" "  " <"/proc/$(worker)/status" | grep -E "CapEff: 000000008000001b CapBnd: 000000008000001b .*NoNewPrivs: 1 Seccomp: 2"; }
t "with few rights" soon 5 confined
kill -9 "$(pgrep -P "$(pgrep -P "$keeper" coracle-init)" coracle-brain)"
wait "$slow"
t_has "a pull ends with its brain" 'the brain ended before the pull did' cat "$work/slow"
t "and its worker" soon 5 no_worker
t "the next brain pulls again" soon 10 pull "$here/public/app:1"
t "images of a slow registry" push new "$url/slow/app:"{2,3,4,5}
for i in 2 3 4 5; do
    pull "$here/slow/app:$i" >/dev/null 2>&1 &
    jobs_started+=($!)
done
t "take three places" soon 10 is pgrep -c -P "$keeper" -f image-worker = 3
t "and leave one to other registries" timeout 20 "$coracle" image pull "localhost:$port/plain/busybox:1" --name "$name" --data "$data"
kubectl delete pods --all --grace-period=1 >/dev/null

if [ "$(id -u)" = 0 ] && command -v useradd newuidmap >/dev/null; then
    say "by a user with sub-ids"
    user=coracle-e2e-$$ theirs=$work/user
    finish() {
        local rc=$?
        as_user "$work/coracle" delete --yes --name "$name-user" --data "$theirs/data" >/dev/null 2>&1
        userdel "$user" 2>/dev/null
        (exit $rc)
        on_exit
    }
    as_user() { HOME=$theirs setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups "$@"; }
    useradd --no-create-home --shell /bin/sh "$user" || exit 1
    trap finish EXIT
    grep -q "^$user:" /etc/subuid || usermod --add-subuids 2100000-2165535 --add-subgids 2100000-2165535 "$user"
    chmod 711 "$work"
    install -d -o "$user" "$theirs"
    install -m 755 "$coracle" "$work/coracle"
    t "their cluster" as_user "$work/coracle" up --name "$name-user" --data "$theirs/data" --kubeconfig "$theirs/kubeconfig"
    t "pulls" as_user "$work/coracle" image pull "$here/gzip/app:1" --name "$name-user" --data "$theirs/data"
    t_is "files have their owners" "$(mapped "$user" /etc/subuid 1234):$(mapped "$user" /etc/subgid 5678):2750" owners "$theirs/data"
fi
