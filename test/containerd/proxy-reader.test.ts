/** The proxy of a real containerd is read from its process, again after each restart. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { listenerOf } from '../../lib/containerd/process.ts';
import { notedProxy } from '../../lib/proxy/containerd-proxy.ts';
import { readyStore, recordingLog } from './stores.ts';

const skip = await labMissing();
const VERSIONS = ['1.6', '1.7', '2.1'] as const;
let lab: Lab;

before(async () => {
  if (skip === false) lab = await Lab.create({ hosts: VERSIONS.length, containerd: VERSIONS });
});
after(() => lab?.dispose());

for (const [index, version] of VERSIONS.entries()) {
  test(`containerd ${version}: its environment wins over the note`, { skip }, async (t) => {
    const { containerd } = lab.host(index);
    const { log, lines } = recordingLog();
    const noted = notedProxy({ HTTP_PROXY: 'http://other:1', HTTPS_PROXY: 'http://other:1' });
    const store = await readyStore(t, containerd.socket, { log, notedProxy: noted });
    // 1.6 does not tell its pid. The search for its process goes on when the store is ready.
    await waitUntil('the store has looked', () => store.containerdProxy().isNone);
    const { run: firstRun, ...first } = store.containerdProxy();
    assert.deepEqual(first, { environment: {}, isNone: true, description: 'none' });

    containerd.env.HTTPS_PROXY = 'http://user:s3cret@proxy.corp:3128';
    containerd.env.no_proxy = '.corp,10.0.0.0/8';
    await containerd.restart();
    await waitUntil('the store has met the new one', () => !store.containerdProxy().isNone);
    await waitUntil(
      'and has looked at it',
      () => 'HTTPS_PROXY' in store.containerdProxy().environment,
    );
    const { run, ...second } = store.containerdProxy();
    assert.notEqual(run, firstRun);
    assert.deepEqual(second, {
      environment: {
        HTTPS_PROXY: 'http://user:s3cret@proxy.corp:3128',
        NO_PROXY: '.corp,10.0.0.0/8',
      },
      isNone: false,
      description: 'http: none, https: http://user:***@proxy.corp:3128',
    });
    const told = lines.filter((line) => line.includes('"msg":"proxy of containerd"'));
    assert.deepEqual(
      told.map((line) => JSON.parse(line).proxy),
      ['none', 'http: none, https: http://user:***@proxy.corp:3128'],
    );
    assert.doesNotMatch(lines.join(''), /s3cret/);
  });
}

test('the process that listens on a socket is found among others', { skip }, async () => {
  const pids = await Promise.all(lab.hosts.map(({ containerd }) => listenerOf(containerd.socket)));
  assert.equal(new Set(pids).size, VERSIONS.length, pids.join());
  assert.ok(pids.every((pid) => pid !== undefined));
  assert.equal(await listenerOf('/run/nobody.sock'), undefined);
});
