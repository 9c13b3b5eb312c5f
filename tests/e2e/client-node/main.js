// SPDX-License-Identifier: Apache-2.0
//
// Commands on a cluster by the official JavaScript client, each what its users write with it. Prints one fact a
// line; ends with the exit code of what it ran, or 1.
// Usage: node main.js COMMAND [ARGUMENT]...   (the cluster: KUBECONFIG)
import * as k8s from '@kubernetes/client-node';
import http from 'node:http';
import net from 'node:net';

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const namespace = 'default';
const configMap = (name, data) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data });
const event = (type, o) => console.log(type, o.metadata.name, o.data?.a ?? '');
const ended = (stream) => new Promise((resolve) => stream.on('close', resolve));
const exitCode = (status) =>
    status.status === 'Success' ? 0 : Number(status.details?.causes?.find((c) => c.reason === 'ExitCode')?.message ?? 1);

const commands = {
    async version() {
        console.log((await config.makeApiClient(k8s.VersionApi).getCode()).gitVersion);
    },
    async list() {
        const pods = await core.listNamespacedPod({ namespace });
        pods.items.forEach((pod) => console.log(pod.metadata.name, pod.status.phase));
    },
    /* In pages of one. */
    async pages() {
        let token;
        do {
            const page = await core.listNamespacedPod({ namespace, limit: 1, _continue: token });
            console.log(page.items.map((pod) => pod.metadata.name).join());
            token = page.metadata._continue;
        } while (token);
    },
    /* The informer of the documentation, with the restart that it advises, until the program is ended. */
    async inform() {
        const list = () => core.listNamespacedConfigMap({ namespace });
        const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list);
        ['add', 'update', 'delete'].forEach((type) => informer.on(type, (o) => event(type, o)));
        informer.on('connect', () => console.log('connect'));
        const start = () => informer.start().catch(again);
        const again = (err) => {
            console.log('error', err.code ?? err.message);
            setTimeout(start, 100);
        };
        informer.on('error', again);
        await start();
        await new Promise(() => {});
    },
    /* One raw watch, from the version of a list. */
    async watch(last) {
        const { metadata } = await core.listNamespacedConfigMap({ namespace });
        await new Promise((resolve, reject) => {
            const params = { resourceVersion: metadata.resourceVersion, allowWatchBookmarks: true };
            new k8s.Watch(config)
                .watch(`/api/v1/namespaces/${namespace}/configmaps`, params, (type, o) => {
                    event(type, o);
                    if (o.metadata.name === last) {
                        resolve();
                    }
                }, reject)
                .then(() => console.log('open'), reject);
        });
    },
    /* One object through every door. */
    async change(name) {
        const manager = 'client-node';
        event('created', await objects.create(configMap(name, { a: '1' })));
        await objects.create(configMap(name)).catch((err) => console.log('again', err.code, JSON.parse(err.body).message));
        const applied = await objects.patch(configMap(name, { a: '2' }), undefined, undefined, manager, true,
            k8s.PatchStrategy.ServerSideApply);
        event('applied', applied);
        console.log('owner', applied.metadata.managedFields.find((entry) => entry.operation === 'Apply').manager);
        event('merged', await objects.patch(configMap(name, { a: '3' }), undefined, undefined, undefined, undefined,
            k8s.PatchStrategy.MergePatch));
        event('replaced', await objects.replace({ ...(await objects.read(configMap(name))), data: { a: '4' } }));
        event('made', await objects.patch(configMap(`${name}-more`, { a: '5' }), undefined, undefined, manager, true,
            k8s.PatchStrategy.ServerSideApply));
        console.log('deleted', (await objects.delete(configMap(`${name}-more`))).status);
    },
    async exec(pod, container, ...command) {
        const stdin = command[0] === '-i' ? process.stdin : null;
        return new Promise((resolve, reject) => {
            new k8s.Exec(config)
                .exec(namespace, pod, container, stdin ? command.slice(1) : command, process.stdout, process.stderr, stdin,
                    false, (status) => resolve(exitCode(status)))
                .catch(reject);
        });
    },
    async attach(pod, container) {
        const socket = await new k8s.Attach(config).attach(namespace, pod, container, process.stdout, process.stderr,
            process.stdin, false);
        await ended(socket);
    },
    async log(pod, container) {
        const stream = new net.Stream.PassThrough();
        stream.pipe(process.stdout);
        await new k8s.Log(config).log(namespace, pod, container, stream, { follow: true });
        await ended(stream);
    },
    /* GET / of the pod's port, twice, each connection forwarded. */
    async forward(pod, port) {
        const forward = new k8s.PortForward(config);
        const server = net.createServer((socket) => forward.portForward(namespace, pod, [Number(port)], socket, null, socket));
        await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
        for (let i = 0; i < 2; i++) {
            await new Promise((resolve, reject) => {
                http.get({ port: server.address().port, host: '127.0.0.1', agent: false }, (answer) => {
                    answer.pipe(process.stdout, { end: false });
                    answer.on('end', resolve);
                }).on('error', reject);
            });
        }
    },
};

const [name, ...args] = process.argv.slice(2);
commands[name](...args).then(
    (code) => process.exit(code ?? 0),
    (err) => {
        console.log('failed', err.code ?? '', err.body ?? err.message);
        process.exit(1);
    },
);
