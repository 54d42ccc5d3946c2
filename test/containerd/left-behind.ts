/** Ingests that pulls leave behind in a real containerd, and the calls to discard them. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { assertHolds } from '../../lab/fleet/fleet.ts';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';
import { type Layout, makeImage } from '../../lab/images/images.ts';
import { run } from '../../lab/processes/exec.ts';
import { silentLogger } from '../../lib/base/log.ts';
import { ContainerdApi } from '../../lib/containerd/api.ts';
import { ContainerdClient } from '../../lib/containerd/client.ts';
import { discardIngests } from '../../lib/containerd/discard-ingests.ts';
import { type Digest, hexOf } from '../../lib/oci/digest.ts';
import { signal } from './stores.ts';

const NAMESPACES = ['default', 'k8s.io', 'other'];

/** An image with one layer in the registry. */
export interface Pushed {
  readonly image: Layout;
  readonly ref: string;
  readonly digest: Digest;
  readonly bytes: Buffer;
}

export async function pushed(lab: Lab): Promise<Pushed> {
  const seed = randomUUID();
  const image = await makeImage(join(lab.dir, seed), { seed, layers: 1, layerMiB: 2 });
  const ref = await lab.upstream.push(image, `discard/${seed}`);
  const digest = image.manifests[0]?.layers[0]?.digest as Digest;
  const bytes = await readFile(join(image.dir, 'blobs', ...digest.split(':')));
  return { image, ref, digest, bytes };
}

/** Sets the bytes of a layer in the registry. */
export function serve(lab: Lab, digest: Digest, bytes: Buffer): Promise<void> {
  const hex = hexOf(digest);
  const path = join('docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  return writeFile(join(lab.upstream.storage, path), bytes);
}

export interface Bench {
  readonly host: LabHost;
  readonly client: ContainerdClient;
  readonly api: ContainerdApi;
  /** The ingests of a digest in all namespaces, from the API. */
  readonly ingests: (digest: Digest) => Promise<string[]>;
  /** Tries once to discard them. */
  readonly discard: (digest: Digest) => Promise<void>;
  /** The log of containerd since the start of this fixture. */
  readonly log: () => Promise<string>;
  /** The errors in the log without those that match `isMeant`. */
  readonly complaints: (isMeant: RegExp) => Promise<string[]>;
}

export async function bench(t: TestContext, host: LabHost): Promise<Bench> {
  const client = new ContainerdClient(host.containerd.socket);
  t.after(() => client.close());
  const api = new ContainerdApi(client);
  const ingests = async (digest: Digest) => {
    const all = await Promise.all(NAMESPACES.map((name) => api.ingests(name, signal)));
    return all.flat().filter((ref) => ref.endsWith(digest));
  };
  const discard = (digest: Digest) => discardIngests({ api, log: silentLogger }, digest, signal);
  const { size } = await stat(host.containerd.logPath);
  const log = async () => (await readFile(host.containerd.logPath)).subarray(size).toString();
  const complaints = async (isMeant: RegExp) => {
    const lines = (await log()).split('\n');
    return lines.filter((line) => /level=(error|fatal|panic)/.test(line) && !isMeant.test(line));
  };
  return { host, client, api, ingests, discard, log, complaints };
}

/** Leaves a full ingest with wrong bytes behind. Only its age ends it. */
export async function leaveBehind(
  lab: Lab,
  { containerd }: LabHost,
  { digest, bytes }: Pick<Pushed, 'digest' | 'bytes'>,
  namespace: string,
) {
  const file = join(lab.dir, randomUUID());
  await writeFile(file, randomBytes(bytes.length));
  const ctr = join(lab.tools.containerd[containerd.version].bin, 'ctr');
  const size = String(bytes.length);
  const flags = `--expected-size ${size} --expected-digest ${digest}`;
  const command = `${ctr} -a ${containerd.socket} -n ${namespace} content ingest ${flags} layer-${digest} < ${file}`;
  await assert.rejects(run(['sh', '-c', command]), /unexpected commit digest/);
}

/** The directories of all ingests, including those that the API does not list. */
export const directories = ({ containerd }: LabHost) =>
  readdirSync(join(containerd.contentRoot, 'ingest'));

export async function assertAskedAnew(
  lab: Lab,
  { digest, image }: Pushed,
  host: LabHost,
): Promise<void> {
  const asked = (await lab.upstream.blobRequests()).filter(({ uri }) => uri.includes(digest));
  assert.deepEqual(
    asked.map(({ status }) => status),
    [200],
  );
  await assertHolds(host, image);
}
