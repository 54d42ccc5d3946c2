/** Which name a client may give the host whose Spegel it asks, in `Host`. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertHolds, blobPath, digestsOf } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { configure } from '../support/command.ts';

const NAME = 'spegel.example.com';
const skip = await labMissing('1.6', '2.1', '2.4');

/**
 * Its /etc/hosts, for what starts there from now on; a second call is seen by what runs already.
 */
async function writeHosts({ net }: LabHost, ...lines: string[]): Promise<void> {
  const dir = join('/etc/netns', net.ns);
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'hosts'), ['127.0.0.1 localhost', ...lines, ''].join('\n'));
}

test('a name that DNS alone gives this host is refused, and the pull goes on to the upstream', {
  skip,
}, async (t) => {
  const containerd = ['2.1', '1.6', '2.1', '2.4'] as const;
  const lab = await Lab.create({ hosts: 4, containerd }, t);
  const [asked, ...clients] = lab.hosts;
  assert.ok(asked);
  await writeHosts(asked);
  await lab.startSpegel({}, [asked]);
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'names', layers: 2, layerMiB: 2 });
  const ref = await lab.upstream.push(image, 'names/image');
  await asked.containerd.pull(ref);
  const refused = async () =>
    (await asked.spegel.logs()).filter(({ msg }) => msg === 'request for another host refused');

  const blob = blobPath(lab, 'names/image', digestsOf(image).at(-1) ?? '');
  const url = `http://127.0.0.1:5000${blob}`;
  const flags = ['--header', 'Host: evil.example', '--output', '/dev/null'];
  const status = ['--write-out', '%{http_code}', ...flags];
  assert.equal(await asked.net.curl(...status, url), '200', 'root, as whom containerd runs');
  const user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
  const asUser = await asked.net.run([...user, lab.tools.curl, '--silent', ...status, url]);
  assert.equal(asUser.stdout, '421', 'a browser on this host');
  assert.equal(await clients[0]?.net.curl(...status, `http://${asked.address}:5000${blob}`), '421');
  assert.equal((await refused()).length, 1, 'one line for one name');

  for (const client of clients) {
    await writeHosts(client, `${asked.address} ${NAME}`);
    await client.containerd.restart();
    const target = `--mirror-targets=http://${NAME}:5000`;
    const { code, stderr } = await configure(client.containerd.hostsDir, target);
    assert.equal(code, 0, stderr);
    await client.containerd.pull(ref, { timeoutMs: 60_000 });
    await assertHolds(client, image);
    await client.containerd.removeImage(ref);
  }
  assert.ok((await refused()).some(({ host }) => String(host).includes(NAME)));
  const served = () => asked.spegel.metric('spegel_served_bytes_total', 'external');
  assert.equal(await served(), 0);

  await writeHosts(asked, `${asked.address} ${NAME}`);
  const isKnown = async () =>
    (await clients[0]?.net.curl('--head', `http://${NAME}:5000/v2/`))?.includes(' 200 ') ?? false;
  await waitUntil('its /etc/hosts gives it the name', isKnown);
  await lab.upstream.stop();
  for (const client of clients) {
    // The tag's second try: the upstream has failed.
    await client.containerd.fetch(ref, { timeoutMs: 60_000 }).catch(() => {});
    await client.containerd.pull(ref, { timeoutMs: 60_000 });
    await assertHolds(client, image);
  }
  assert.ok((await served()) > 0);
});
