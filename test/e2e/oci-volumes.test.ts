/**
 * OCI volumes, as docs/oci-volumes.md has them: what another host pulled is read in a container
 * here.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { BUSYBOX, containersMissing, makeSleeper } from '../../lab/containerd/containers.ts';
import type { CriContainer } from '../../lab/containerd/cri.ts';
import { assertHolds, bytesOf, sentBytes, untilFound } from '../../lab/fleet/fleet.ts';
import { SHARED_CORES_FLAGS } from '../../lab/fleet/inflight-pulls.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { seededBytes } from '../../lab/images/blobs.ts';
import { type Layout, MIB, makeArtifact, makeImage } from '../../lab/images/images.ts';

const LAYERS = 2;
const ARCHITECTURE = process.arch === 'arm64' ? 'arm64' : 'amd64';
const IMAGE_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const noContainers = await containersMissing();

interface Volume {
  readonly image: Layout;
  readonly ref: string;
}

for (const version of ['2.1', '2.4'] as const) {
  const missing = await labMissing(version);
  test(`containerd ${version}: a container reads an image and an artifact that came from another host`, {
    skip: missing === false ? noContainers : missing,
    timeout: 120_000,
  }, async (t) => {
    const settings = { version, cri: true, runsContainers: true };
    const lab = await Lab.create({ hosts: 2, containerd: [settings] }, t);
    const [a, b] = [lab.host(0), lab.host(1)];
    const volumes = await pushAll(lab);
    for (const { containerd } of lab.hosts) {
      await containerd.restart({ sandboxImage: volumes.sleeper.ref });
    }
    await lab.startSpegel({ flags: SHARED_CORES_FLAGS });
    for (const { ref } of Object.values(volumes)) await a.containerd.cri.pull(ref);
    // Of the one whose config lists no layers containerd gets none.
    const { unlisted: _, ...whole } = volumes;
    for (const [name, { image }] of Object.entries(whole)) {
      await untilFound(lab, b, `volumes/${name}`, image);
    }

    await lab.upstream.stop();
    const before = await sentBytes(a);
    for (const { ref } of Object.values(volumes)) await b.containerd.cri.pull(ref);
    for (const { image } of Object.values(whole)) await assertHolds(b, image, 'k8s.io');
    const expected = Object.values(whole).reduce((sum, { image }) => sum + bytesOf(image), 0);
    const sent = (await sentBytes(a)) - before;
    assert.ok(sent >= expected, `A sent ${sent} bytes of ${expected}`);

    await using pod = await runPod(b);
    await readVolumes(pod, volumes, version !== '2.1');
    await tryOthers(pod, volumes);
  });
}

type Name = 'sleeper' | 'image' | 'artifact' | 'foreign' | 'unlisted';

/** Images and artifacts by their names, all of them at the upstream. */
async function pushAll(lab: Lab): Promise<Record<Name, Volume>> {
  const dir = (name: string) => join(lab.dir, name);
  const shape = (seed: string) => ({ seed, layers: LAYERS });
  const push = async (name: Name, image: Layout) => ({
    image,
    ref: await lab.upstream.push(image, `volumes/${name}`),
  });
  const artifactType = 'application/vnd.example.model';
  const layerType = IMAGE_LAYER;
  return {
    sleeper: await push('sleeper', await makeSleeper(lab.tools, dir('sleeper'))),
    image: await push('image', await makeImage(dir('image'), shape('image'))),
    artifact: await push(
      'artifact',
      await makeImage(dir('artifact'), { ...shape('artifact'), artifactType }),
    ),
    foreign: await push('foreign', await makeArtifact(dir('foreign'), shape('foreign'))),
    unlisted: await push(
      'unlisted',
      await makeArtifact(dir('unlisted'), { ...shape('unlisted'), layerType }),
    ),
  };
}

interface Pod extends AsyncDisposable {
  /** Starts a container with these images in it; returns how to run a program in it. */
  run(
    name: string,
    image: Volume,
    mounts: CriContainer['imageMounts'],
  ): Promise<(...argv: string[]) => Promise<string>>;
}

async function runPod({ containerd, dir }: LabHost): Promise<Pod> {
  const { cri } = containerd;
  const config = { name: 'volumes', logs: join(dir, 'pod-logs') };
  const id = await cri.runPod(config);
  return {
    [Symbol.asyncDispose]: () => cri.removePod(id),
    async run(name, { ref }, imageMounts) {
      const command = [BUSYBOX, 'sleep', '600'];
      const container = await cri.runContainer(id, config, {
        name,
        image: ref,
        command,
        imageMounts,
      });
      return async (...argv) => String(await cri.exec(container, [BUSYBOX, ...argv]));
    },
  };
}

function sumsOf(seed: string): string[] {
  return Array.from({ length: LAYERS }, (_, i) => {
    const hash = createHash('sha256');
    for (const bytes of seededBytes(`${seed}-${ARCHITECTURE}-${i}`, MIB)) hash.update(bytes);
    return hash.digest('hex');
  });
}

/**
 * Every byte of both is read; nothing can be written; a directory of an image alone is there from
 * 2.2 on.
 */
async function readVolumes(
  pod: Pod,
  { sleeper, image, artifact }: Record<Name, Volume>,
  hasSubPath: boolean,
): Promise<void> {
  const exec = await pod.run('reader', sleeper, [
    { container_path: '/image', image: image.ref },
    { container_path: '/artifact', image: artifact.ref },
    { container_path: '/part', image: sleeper.ref, sub_path: 'content' },
  ]);
  for (const seed of ['image', 'artifact']) {
    const printed = await exec('sh', '-c', `${BUSYBOX} sha256sum /${seed}/*`);
    const sums = printed.match(/\b[0-9a-f]{64}\b/g);
    assert.deepEqual(sums, sumsOf(seed), printed);
    await assert.rejects(exec('touch', `/${seed}/new`), /Read-only file system/);
  }
  assert.equal(await exec('ls', '/part'), hasSubPath ? 'busybox\n' : 'content\n');
}

/**
 * What is no image to containerd is pulled and shared all the same; mounted it is empty, or
 * refused.
 */
async function tryOthers(
  pod: Pod,
  { sleeper, foreign, unlisted }: Record<Name, Volume>,
): Promise<void> {
  const mount = (volume: Volume) => [{ container_path: '/volume', image: volume.ref }];
  const exec = await pod.run('empty', sleeper, mount(foreign));
  assert.equal(await exec('ls', '/volume'), '');
  await assert.rejects(
    pod.run('refused', sleeper, mount(unlisted)),
    /mismatched image rootfs and manifest layers/,
  );
}
