/** The lab itself, without spegel: what the other end-to-end tests take for granted. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { Spegel } from '../../lab/fleet/spegel.ts';
import { archive, copyWithSkopeo, makeWithUmoci } from '../../lab/images/foreign-layouts.ts';
import { MIB, makeArtifact, makeImage, makeIndex } from '../../lab/images/images.ts';
import { LABS_DIR, namespacePrefix } from '../../lab/network/slots.ts';
import { run, succeeds } from '../../lab/processes/exec.ts';

const skip = await labMissing();

test('every containerd pulls from the upstream when nothing listens at the mirror', {
  skip,
}, async (t) => {
  const lab = await Lab.create({ hosts: 3, containerd: ['2.1', '1.7', '1.6'] }, t);
  const image = await makeImage(join(lab.dir, 'image'), {
    seed: 'fallback',
    layers: 3,
    layerMiB: 4,
  });
  const ref = await lab.upstream.push(image, 'lab/image');
  const index = await makeIndex(join(lab.dir, 'index'), { seed: 'index', layers: 2 });
  const indexRef = await lab.upstream.push(index, 'lab/index');

  for (const { containerd, address } of lab.hosts) {
    await lab.upstream.forget();
    await containerd.pull(ref);
    assert.deepEqual(await containerd.imageNames(), [ref]);
    const asked = await lab.upstream.blobRequests();
    assert.equal(asked.length, 4, `config and layers, containerd ${containerd.version}`);
    assert.ok(asked.every((one) => one.status === 200 && one.remote.startsWith(`${address}:`)));
    await containerd.removeImage(ref);
    assert.deepEqual(await containerd.digests(), []);

    await containerd.pull(`${lab.upstream.registry}/lab/index@${index.digest}`);
    const present = await containerd.digests();
    assert.ok(
      index.manifests[0]?.layers.every((layer) => present.includes(layer.digest)),
      indexRef,
    );
    assert.ok(
      !index.manifests[1]?.layers.some((layer) => present.includes(layer.digest)),
      'one platform',
    );
  }
});

test('CRI pulls images, and artifacts where containerd can', { skip }, async (t) => {
  const lab = await Lab.create(
    {
      hosts: 3,
      containerd: [
        { version: '2.1', cri: true },
        { version: '1.7', cri: true },
        { version: '1.6', cri: true },
      ],
    },
    t,
  );
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'cri' });
  const ref = await lab.upstream.push(image, 'lab/cri');
  const artifact = await makeArtifact(join(lab.dir, 'artifact'), { seed: 'cri', layers: 2 });
  const volume = await lab.upstream.push(artifact, 'lab/volume');

  for (const { containerd } of lab.hosts) {
    assert.equal(await containerd.cri.pull(ref), image.manifests[0]?.config.digest);
    assert.ok((await containerd.imageNames('k8s.io')).includes(ref));
    if (containerd.version !== '1.6') await containerd.cri.pull(volume); // 1.6 wants to unpack it
    await containerd.fetch(volume);
    await readFile(containerd.blobPath(artifact.manifests[0]?.layers[1]?.digest ?? ''));
    await containerd.restart();
    assert.ok((await containerd.cri.images()).some((one) => one.repo_tags.includes(ref)));
  }
});

test('parallel range fetching asks for ranges', { skip }, async (t) => {
  const lab = await Lab.create(
    {
      hosts: 1,
      containerd: [{ version: '2.1', cri: true, layerFetchBuffer: MIB, maxConcurrentDownloads: 4 }],
    },
    t,
  );
  const { containerd } = lab.host(0);
  for (const [name, pull] of [
    ['ctr', (ref: string) => containerd.pull(ref)],
    ['cri', (ref: string) => containerd.cri.pull(ref)],
  ] as const) {
    const image = await makeImage(join(lab.dir, name), { seed: name, layers: 1, layerMiB: 16 });
    const ref = await lab.upstream.push(image, `lab/${name}`);
    await lab.upstream.forget();
    await pull(ref);
    const layer = image.manifests[0]?.layers[0]?.digest ?? '';
    const ranges = (await lab.upstream.blobRequests()).filter(
      (one) => one.uri.endsWith(layer) && one.status === 206,
    );
    assert.ok(ranges.length > 1, `${name}: ${ranges.length} ranges`);
  }
});

test('layouts of umoci and skopeo can be pushed, pulled and imported', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'] }, t);
  const umoci = await makeWithUmoci(
    lab.tools,
    join(lab.dir, 'umoci'),
    join(import.meta.dirname, '../support'),
  );
  const skopeo = await copyWithSkopeo(lab.tools, umoci, join(lab.dir, 'skopeo'));
  assert.equal(skopeo.digest, umoci.digest);
  const ref = await lab.upstream.push(skopeo, 'lab/skopeo');
  await archive(umoci, join(lab.dir, 'umoci.tar'));
  for (const { containerd } of lab.hosts) {
    await containerd.ctr([
      'images',
      'import',
      '--base-name',
      'example.com/lab',
      join(lab.dir, 'umoci.tar'),
    ]);
    await containerd.pull(ref);
    assert.deepEqual((await containerd.imageNames()).sort(), [ref, 'example.com/lab:v1']);
  }
});

test('links, filters and the upstream fail as told', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, dockerBridge: true, ipv6: true }, t);
  const { net } = lab.host(0);
  const reaches = () =>
    net.curl('--fail', '--max-time', '1', `${lab.upstream.url}/v2/`).then(
      () => 'yes',
      (e: { code: number }) => e.code,
    );
  const CURL_REFUSED = 7;
  const CURL_TIMEOUT = 28;
  assert.equal(await reaches(), 'yes');
  await net.unplug();
  assert.equal(await reaches(), CURL_TIMEOUT);
  await net.plug();
  // The neighbours' tables need a moment: with two cores at work it was once more than a second.
  let result = await reaches();
  for (let tries = 0; result !== 'yes' && tries < 5; tries += 1) result = await reaches();
  assert.equal(result, 'yes');
  const undo = await lab.upstream.blackhole();
  assert.equal(await reaches(), CURL_TIMEOUT);
  await undo();
  assert.equal(await reaches(), 'yes');
  lab.upstream.freeze();
  assert.equal(await reaches(), CURL_TIMEOUT);
  lab.upstream.thaw();
  assert.equal(await reaches(), 'yes');
  await lab.upstream.stop();
  assert.equal(await reaches(), CURL_REFUSED);

  const listing = await net.run([lab.tools.ip, '-o', 'addr']);
  assert.match(listing.stdout, /docker0\s+inet 172\.17\.0\.1\/16/);
  assert.match((await net.run([lab.tools.ip, 'route'])).stdout, /^default via \S+ dev eth0/);
  assert.ok(await succeeds(net.on(lab.tools.ip, 'route', 'get', lab.host(1).net.address6 ?? '')));
});

test('a reset breaks a running download, once', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 }, t);
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'reset', layers: 1, layerMiB: 32 });
  await lab.upstream.push(image, 'lab/reset');
  await lab.upstream.net.rate('100mbit');
  const { net } = lab.host(0);
  const blob = `${lab.upstream.url}/v2/lab/reset/blobs/${image.manifests[0]?.layers[0]?.digest}`;
  const download = net.curl('--output', '/dev/null', blob).then(
    () => 'complete',
    (e: Error) => e.message,
  );
  while ((await lab.upstream.net.bytesSent()) < 4 * MIB)
    await new Promise((resolve) => setTimeout(resolve, 20));
  await lab.upstream.net.reset(5000);
  assert.match(await download, /reset by peer/);
  assert.equal(await net.curl('--output', '/dev/null', '--write-out', '%{http_code}', blob), '200');
});

test('labs side by side do not meet, and leave nothing behind', { skip }, async () => {
  const used: number[] = [];
  {
    await using one = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'] });
    await using two = await Lab.create({ hosts: 1 });
    used.push(one.network.slot.number, two.network.slot.number);
    assert.notEqual(one.network.slot.number, two.network.slot.number);
    const image = await makeImage(join(two.dir, 'image'), { seed: 'two' });
    const ref = await two.upstream.push(image, 'lab/two');
    await two.host(0).containerd.pull(ref);
    one.host(0).containerd.service.freeze(); // must not keep it from going
  }
  const links = (await run(['ls', '/sys/class/net'])).stdout.split('\n');
  const namespaces = await readdir('/run/netns');
  const mounts = await readFile('/proc/mounts', 'utf8');
  for (const number of used) {
    const dir = join(LABS_DIR, String(number));
    assert.ok(!namespaces.some((name) => name.startsWith(namespacePrefix(number))));
    assert.ok(!links.includes(`sglab${number}`));
    assert.ok(!mounts.includes(`${dir}/`));
    assert.ok(!(await readdir(LABS_DIR)).includes(String(number)));
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      assert.ok(!command.includes(`${dir}/`), `${pid} still runs: ${command}`);
    }
  }
});

test('spegel gets the command line that its users write', () => {
  const argv = Spegel.argv('/data', {
    containerdSocket: '/c.sock',
    bootstrap: ['10.87.1.2'],
    flags: { 'parallel-fetch': true },
  });
  assert.equal(argv[0], 'registry');
  assert.ok(argv.includes('--static-bootstrap-peers=/ip4/10.87.1.2/tcp/5001'));
  assert.ok(argv.includes('--containerd-sock=/c.sock'));
  assert.ok(argv.includes('--parallel-fetch=true'));
});
