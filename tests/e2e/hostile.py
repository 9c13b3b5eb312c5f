#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Sends bodies made to cost a server as much as a body can, as somebody who may write a few kinds of objects, and asks
# whether the server is well after each. Every body must get an answer of its own that is no failure of the server.
# Usage: hostile.py SERVER CA-FILE TOKEN. Prints a line a body that went wrong, then the number of bodies and the slowest.
import http.client
import json
import ssl
import sys
import time

BODY_MAX = 3 << 20
server, ca, token = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
JSON, YAML = "application/json", "application/yaml"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
PATCH, APPLY = "application/json-patch+json", "application/apply-patch+yaml"


def ask(method, path, kind=None, body=None):
    connection = http.client.HTTPSConnection(server, context=context, timeout=60)
    headers = {"Authorization": "Bearer " + token}
    if kind:
        headers["Content-Type"] = kind
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


values_max = 0  # of a body that repeat makes; 0 = as many as fit


def repeat(begin, item, end, sep=","):
    """As many items as fit; % in item is their number."""
    sample = len(item % 999999 if "%" in item else item) + len(sep)
    count = (BODY_MAX - len(begin) - len(end) - 16) // sample
    if values_max:
        count = min(count, values_max // (item.count(":") + 1))
    return begin + sep.join(item % i if "%" in item else item for i in range(count)) + end


def meta(kind, rest, version="v1", name="hostile"):
    return '{"apiVersion":"%s","kind":"%s","metadata":{"name":"%s"},%s}' % (version, kind, name, rest)


def within(kind, begin, item, end, **more):
    text = meta(kind, "\0", **more)
    head, tail = text.split("\0")
    return repeat(head + begin, item, end + tail)


def laughs(levels, width):
    lines = ["a0: &a0 [x]"]
    for i in range(1, levels):
        lines.append("a%d: &a%d [%s]" % (i, i, ",".join(["*a%d" % (i - 1)] * width)))
    return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hostile}\n" + "\n".join(lines) + "\n"


def filled(text):
    return text + " " * (BODY_MAX - len(text))


CONTAINER = '"spec":{"containers":[{"name":"c","image":"i"%s}]%s}'
MAPS, PODS, SERVICES = ("/api/v1/namespaces/hostile/" + kind for kind in ("configmaps", "pods", "services"))


def attacks_of():
    # (content type, body)
    documents = [
        (JSON, "[" * BODY_MAX),
        (JSON, '{"a":' * (BODY_MAX // 5)),
        (JSON, '{"a":[' * (BODY_MAX // 6)),
        (JSON, repeat('{"x":[', "0", "]}")),
        (JSON, repeat('{"x":[', "[]", "]}")),
        (JSON, repeat('{"x":[', '""', "]}")),
        (JSON, within("ConfigMap", '"data":{', '"k%d":""', "}")),
        (JSON, within("ConfigMap", '"data":{', '"k":""', "}")),
        (JSON, within("ConfigMap", '"data":{', '"k%d":{}', "}")),
        (JSON, within("ConfigMap", '"data":{', '"/%d":0', "}")),
        (JSON, meta("ConfigMap", '"data":{"%s":"v"}' % ("k" * (BODY_MAX - 200)))),
        (JSON, meta("ConfigMap", '"data":{"k":"%s"}' % ("\\u0000" * (BODY_MAX // 6 - 50)))),
        (JSON, meta("ConfigMap", '"data":{"k":"%s"}' % ("\\ud800" * (BODY_MAX // 6 - 50)))),
        (JSON, meta("ConfigMap", '"immutable":%s' % ("1" * (BODY_MAX - 200)))),
        (JSON, meta("ConfigMap", '"immutable":1e%s' % ("9" * (BODY_MAX - 200)))),
        (JSON, meta("ConfigMap", '"immutable":-0.%s1' % ("0" * (BODY_MAX - 200)))),
        (JSON, repeat('{"x":[', "1e308", "]}")),
        (JSON, repeat('{"x":[', "123456789012345678901234567890", "]}")),
        (JSON, repeat('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"hostile","labels":{', '"l%d":"v"', "}}}")),
        (JSON, repeat('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"hostile","annotations":{', '"a%d":"v"', "}}}")),
        (JSON, repeat('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"held","finalizers":[', '"a/f%d"', "]}}")),
        (JSON, repeat('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"hostile","ownerReferences":[', '{"apiVersion":"v1","kind":"Pod","name":"p%d","uid":"u"}', "]}}")),
        (JSON, repeat('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"hostile","managedFields":[', '{"manager":"m%d","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{}}}', "]}}")),
        (JSON, repeat('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"hostile","managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{', '"f:k%d":{}', "}}]}}")),
        (JSON, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"%s"}}' % ("n" * (BODY_MAX - 200))),
        (JSON, "\x00" * BODY_MAX),
        (JSON, "\xff" * (BODY_MAX // 2)),
        (JSON, '"' + "\\" * (BODY_MAX - 8) + '"'),
        (JSON, filled("{}")),
        (YAML, laughs(9, 9)),
        (YAML, laughs(40, 2)),
        (YAML, filled(laughs(6, 1000))),
        (YAML, "- " * (BODY_MAX // 2)),
        (YAML, "? " * (BODY_MAX // 2)),
        (YAML, "a: &a [*a]\n"),
        (YAML, "{" * BODY_MAX),
        (YAML, "&a " * (BODY_MAX // 3)),
        (YAML, repeat("", "&a%d x", "", sep="\n- ")),
        (YAML, repeat("[", "a", "]")),
        (YAML, repeat("", "k%d: v", "", sep="\n")),
        (YAML, "x: " + "1" * (BODY_MAX - 8)),
        (YAML, "x: |\n" + " y\n" * (BODY_MAX // 3 - 4)),
        (YAML, repeat("", "---\na: %d", "", sep="\n")),
        (YAML, "!!binary " * (BODY_MAX // 9)),
    ]
    pods = [
        within("Pod", '"spec":{"containers":[', '{"name":"c","image":"i"}', "]}"),
        within("Pod", '"spec":{"containers":[', '{"name":"c%d","image":"i"}', "]}"),
        within("Pod", '"spec":{"containers":[', "{}", "]}"),
        within("Pod", '"spec":{"containers":[{"name":"c","image":"i","env":[', '{"name":"E%d","value":"$(E)"}', "]}]}"),
        within("Pod", '"spec":{"containers":[{"name":"c","image":"i","env":[', '{"name":"E","value":"v"}', "]}]}"),
        within("Pod", '"spec":{"containers":[{"name":"c","image":"i","ports":[', '{"containerPort":80}', "]}]}"),
        within("Pod", '"spec":{"containers":[{"name":"c","image":"i","volumeMounts":[', '{"name":"v%d","mountPath":"/m"}', "]}]}"),
        within("Pod", '"spec":{"containers":[{"name":"c","image":"i"}],"volumes":[', '{"name":"v%d","emptyDir":{}}', "]}"),
        within("Pod", '"spec":{"containers":[{"name":"c","image":"i"}],"tolerations":[', '{"key":"k%d","operator":"Exists"}', "]}"),
        within("Pod", '"spec":{"containers":[{"name":"c","image":"i"}],"nodeSelector":{', '"k%d":"v"', "}}"),
        within("Pod", '"spec":{"containers":[{"name":"c","image":"i"}],"hostAliases":[', '{"ip":"1.2.3.4","hostnames":["h"]}', "]}"),
        within("Pod", '"spec":{"containers":[{"name":"c","image":"i","args":[', '"$(A)$$(B)"', "]}]}"),
        meta("Pod", CONTAINER % (',"args":["%s"]' % ("$(" * (BODY_MAX // 2 - 200)), "")),
        meta("Pod", CONTAINER % (',"resources":{"limits":{"cpu":"%s"}}' % ("9" * (BODY_MAX - 400)), "")),
        meta("Pod", CONTAINER % ("", ',"hostname":"%s"' % ("a-" * (BODY_MAX // 2 - 200)))),
        within("Pod", '"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[', '{"matchExpressions":[{"key":"k%d","operator":"In","values":["v"]}]}', ']}}},"containers":[{"name":"c","image":"i"}]}'),
    ]
    services = [
        meta("Service", '"spec":{"type":"NodePort","ports":[%s]}' % ",".join('{"name":"p%d","port":%d}' % (i, i) for i in range(1, 2501))),
        meta("Service", '"spec":{"ports":[%s]}' % ",".join('{"name":"p%d","port":%d}' % (i, i) for i in range(1, 40001)), name="wide"),
        within("Service", '"spec":{"ports":[', '{"name":"p","port":1}', "]}"),
        within("Service", '"spec":{"selector":{', '"k%d":"v"', '},"ports":[{"port":1}]}'),
        within("Service", '"spec":{"ports":[{"port":1}],"externalIPs":[', '"1.2.3.4"', "]}"),
        within("Service", '"spec":{"ports":[{"port":1}],"loadBalancerSourceRanges":[', '"1.2.3.4/%d"', "]}"),
    ]
    patches = [
        (MAPS + "/victim", MERGE, repeat('{"data":{', '"k%d":"v"', "}}")),
        (MAPS + "/victim", MERGE, repeat('{"data":{', '"k%d":null', "}}")),
        (MAPS + "/victim", MERGE, '{"data":' * (BODY_MAX // 8)),
        (MAPS + "/victim", STRATEGIC, repeat('{"data":{', '"k%d":"v"', "}}")),
        (MAPS + "/victim", STRATEGIC, repeat('{"$setElementOrder/x":[', '"v%d"', "]}")),
        (MAPS + "/victim", PATCH, repeat("[", '{"op":"add","path":"/data/k%d","value":"v"}', "]")),
        (MAPS + "/victim", PATCH, "[" + ",".join('{"op":"copy","from":"/data","path":"/data/k%d"}' % i for i in range(5000)) + "]"),
        (MAPS + "/victim", PATCH, "[" + ",".join(['{"op":"move","from":"/data","path":"/data"}'] * 9999) + "]"),
        (MAPS + "/victim", PATCH, '[{"op":"test","path":"%s","value":1}]' % ("/a" * (BODY_MAX // 2 - 50))),
        (MAPS + "/victim", PATCH, '[{"op":"add","path":"%s","value":1}]' % ("~1" * (BODY_MAX // 2 - 50))),
        (MAPS + "/victim", APPLY, within("ConfigMap", '"data":{', '"k%d":"v"', "}", name="victim")),
        (MAPS + "/victim", APPLY, laughs(9, 9)),
        (PODS + "/victim", STRATEGIC, repeat('{"spec":{"containers":[', '{"name":"c","image":"j"}', "]}}")),
        (PODS + "/victim", STRATEGIC, repeat('{"spec":{"containers":[', '{"name":"c%d","image":"j"}', "]}}")),
        (PODS + "/victim", STRATEGIC, repeat('{"spec":{"containers":[', '{"$patch":"delete","name":"c%d"}', "]}}")),
        (PODS + "/victim", STRATEGIC, repeat('{"spec":{"tolerations":[', '{"key":"k%d"}', "]}}")),
        (PODS + "/victim", STRATEGIC, repeat('{"spec":{"$setElementOrder/containers":[', '{"name":"c%d"}', "]}}")),
        (PODS + "/victim", APPLY, within("Pod", '"spec":{"containers":[', '{"name":"c","image":"i"}', "]}", name="victim")),
        (PODS + "/victim", APPLY, within("Pod", '"spec":{"containers":[', '{"name":"c%d","image":"i"}', "]}", name="victim")),
    ]
    attacks = [("POST", MAPS, kind, body) for kind, body in documents]
    attacks += [("POST", PODS, JSON, body) for body in pods] + [("POST", SERVICES, JSON, body) for body in services]
    attacks += [("PATCH", path + ("?fieldManager=h&force=true" if kind == APPLY else ""), kind, body) for path, kind, body in patches]
    return attacks


for path, kind, rest in ((MAPS, "ConfigMap", '"data":{"a":"b"}'), (PODS, "Pod", CONTAINER % ("", ""))):
    status, answer = ask("POST", path, JSON, meta(kind, rest, name="victim"))
    if status != 201:
        sys.exit("make the victim: %d %s" % (status, answer[:300]))
attacks = attacks_of()
values_max = 49000  # what the server takes as a document, just so
known = {body for _, _, _, body in attacks}
attacks += [attack for attack in attacks_of() if attack[3] not in known]
slowest = (0, None)
for number, (method, path, kind, body) in enumerate(attacks):
    what = "%d: %s %s %s %r" % (number, method, path, kind, body[:60])
    started = time.monotonic()
    try:
        status, answer = ask(method, path, kind, body.encode("latin-1"))
        if status >= 500 or status == 401 or status == 403:
            print(what, "is answered with", status, answer[:300])
    except OSError as e:
        print(what, "gets no answer:", e)
    slowest = max(slowest, (time.monotonic() - started, what))
    try:
        status, answer = ask("GET", "/readyz")
        if status != 200:
            print("not ready after", what, status, answer[:300])
    except OSError as e:
        print("no answer after", what, e)
    for made in (path.split("?")[0] + "/hostile", path.split("?")[0] + "/wide"):
        if method == "POST":
            ask("DELETE", made + "?gracePeriodSeconds=0")
print("%d bodies; slowest %.2f s: %s" % (len(attacks), *slowest))
