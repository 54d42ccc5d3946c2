/**
 * The command of spegel.service that looks at containerd's proxy; on a real systemd:
 * test/e2e/proxy-look.test.ts.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { notedProxy } from '../../lib/proxy/containerd-proxy.ts';
import { parseEnvironmentFile } from '../../lib/systemd/environment-syntax.ts';
import { spegel } from './support.ts';

const skip = await labMissing();
const VERSIONS = ['1.6', '2.1'] as const;
let lab: Lab;

before(async () => {
  if (skip === false) lab = await Lab.create({ hosts: VERSIONS.length, containerd: VERSIONS });
});
after(() => lab?.dispose());

for (const [index, version] of VERSIONS.entries()) {
  test(`it prints with what containerd ${version} runs`, { skip }, async () => {
    const { containerd } = lab.host(index);
    const look = async () => {
      const env = { CONTAINERD_SOCK: containerd.socket };
      const { status, stdout, stderr } = await spegel(['containerd-proxy'], env);
      assert.deepEqual([status, stderr], [0, '']);
      return notedProxy(parseEnvironmentFile(stdout));
    };
    const none = await look();
    assert.equal(none.isNone, true);
    const proxy = `http://user:s3c%20r$e't"@proxy.corp:3128`;
    containerd.env.https_proxy = proxy;
    await containerd.restart();
    const one = await look();
    assert.deepEqual(one.environment, { HTTPS_PROXY: proxy });
    assert.notEqual(one.run, none.run);
  });
}

test('where nobody answers it prints nothing, and that is no failure', async () => {
  const { status, stdout, stderr } = await spegel(['containerd-proxy'], {
    CONTAINERD_SOCK: '/run/nobody.sock',
  });
  assert.deepEqual([status, stdout, stderr], [0, '', '']);
});

test('it is not offered to people', async () => {
  assert.doesNotMatch((await spegel(['help'])).stdout, /containerd-proxy/);
});
