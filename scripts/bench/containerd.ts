import { join } from 'node:path';
import { untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { alternate, median, missing, type Row } from './table.ts';

const ROUNDS = 5;
const LAYERS = 4;
const LAYER_MIB = 24;
const IMAGE = `${LAYERS} x ${LAYER_MIB} MiB`;

/** Rows on real containerd 2.1, hosts in network namespaces. Needs root on Debian. */
export async function benchContainerd(): Promise<Row[]> {
  const what = 'pulls on real containerd';
  const reason = await labMissing();
  if (reason !== false) return [missing(what, reason)];
  await using lab = await Lab.create({ hosts: 2, spegel: true });
  return [await missPull(lab), await peerPull(lab), await readyAgain(lab)];
}

/** Asked with curl in the host's network namespace, which takes some ten milliseconds each time. */
async function readyAgain(lab: Lab): Promise<Row> {
  const host = lab.host(0);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await host.spegel.stop();
    const started = performance.now();
    await lab.startSpegel({}, [host]);
    times.push(performance.now() - started);
  }
  return {
    what: 'from start to /readyz, containerd, with what the pulls above left in it',
    ours: `${median(times).toFixed(0)} ms`,
    baseline: '',
    ratio: '',
  };
}

/** Fetches without Spegel: no hosts.toml, straight to the registry. */
const straight = { hostsDir: null, plainHttp: true, local: true } as const;

async function fetched(host: LabHost, ref: string, options = {}): Promise<void> {
  await host.containerd.fetch(ref, options);
}

async function imageFor(lab: Lab, name: string): Promise<string> {
  const shape = { seed: name, layers: LAYERS, layerMiB: LAYER_MIB };
  const image = await makeImage(join(lab.dir, name), shape);
  return lab.upstream.push(image, `bench/${name}`);
}

async function missPull(lab: Lab): Promise<Row> {
  const refs: [string, string][] = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    refs.push([await imageFor(lab, `miss-with-${i}`), await imageFor(lab, `miss-without-${i}`)]);
  }
  const host = lab.host(0);
  const ms = await alternate(
    ROUNDS,
    (round) => fetched(host, refs[round]?.[0] ?? ''),
    (round) => fetched(host, refs[round]?.[1] ?? '', straight),
  );
  return row(`pull ${IMAGE} that nobody has (Spegel asked first)`, ms, 'the same without Spegel');
}

async function peerPull(lab: Lab): Promise<Row> {
  const [a, b] = [lab.host(0), lab.host(1)];
  const refs: [string, string][] = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    const name = `peer-${i}`;
    const shape = { seed: name, layers: LAYERS, layerMiB: LAYER_MIB };
    const image = await makeImage(join(lab.dir, name), shape);
    const ref = await lab.upstream.push(image, `bench/${name}`);
    await fetched(a, ref);
    await untilFound(lab, b, `bench/${name}`, image);
    refs.push([ref, await imageFor(lab, `upstream-${i}`)]);
  }
  const ms = await alternate(
    ROUNDS,
    (round) => fetched(b, refs[round]?.[0] ?? ''),
    (round) => fetched(b, refs[round]?.[1] ?? '', straight),
  );
  return row(
    `pull ${IMAGE} from a peer, no link limited`,
    ms,
    'from the upstream registry beside it',
  );
}

function row(what: string, ms: { ours: number; baseline: number }, baseline: string): Row {
  return {
    what,
    ours: `${ms.ours.toFixed(0)} ms`,
    baseline: `${baseline}: ${ms.baseline.toFixed(0)} ms`,
    ratio: `${(ms.ours / ms.baseline).toFixed(2)} x its time`,
  };
}
