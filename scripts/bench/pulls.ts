import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOf, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { startAsService } from './as-service.ts';
import { cpuSeconds, median, missing, type Row } from './table.ts';

const ROUNDS = 5;
const GB = 1e9;
const SHAPES = [
  { layers: 1, layerMiB: 384 },
  { layers: 3, layerMiB: 128 },
];
const AIM = { serving: 0.15, pulling: 0.35 };
/** For what a daemon does after a pull, such as advertising it. */
const SETTLE_MS = 2_000;
const WHAT = 'containerd 2.1 pulls from its neighbour over veth';

/** What pulls of real containerd cost the daemons of both hosts, content in the page cache. */
export async function benchPulls(): Promise<Row[]> {
  const reason = await labMissing();
  if (reason !== false) return [missing(WHAT, reason)];
  await using lab = await Lab.create({ hosts: 2 });
  await startAsService(lab);
  const rows: Row[] = [];
  for (const shape of SHAPES) rows.push(await pullRow(lab, shape));
  return rows;
}

async function pullRow(lab: Lab, shape: { layers: number; layerMiB: number }): Promise<Row> {
  const name = `pulls-${shape.layers}`;
  const image = await makeImage(join(lab.dir, name), { seed: name, ...shape });
  const ref = await lab.upstream.push(image, `bench/${name}`);
  const [holder, client] = [lab.host(0), lab.host(1)];
  await holder.containerd.fetch(ref);
  await untilFound(lab, client, `bench/${name}`, image);
  const gb = bytesOf(image) / GB;
  const cpuOf = (host: LabHost) => cpuSeconds(host.spegel.service.pid ?? 0);
  const costs = { serving: [] as number[], pulling: [] as number[] };
  for (let round = 0; round <= ROUNDS; round += 1) {
    const before = { serving: cpuOf(holder), pulling: cpuOf(client) };
    await client.containerd.fetch(ref);
    await sleep(SETTLE_MS);
    const cost = {
      serving: (cpuOf(holder) - before.serving) / gb,
      pulling: (cpuOf(client) - before.pulling) / gb,
    };
    await client.containerd.removeImage(ref);
    // The first one compiles the code.
    if (round === 0) continue;
    costs.serving.push(cost.serving);
    costs.pulling.push(cost.pulling);
  }
  const [serving, pulling] = [median(costs.serving), median(costs.pulling)];
  const isMet = serving <= AIM.serving && pulling <= AIM.pulling;
  return {
    what: `${WHAT}, ${shape.layers} x ${shape.layerMiB} MiB: CPU of the serving daemon; of the pulling one`,
    ours: `${serving.toFixed(2)}; ${pulling.toFixed(2)} CPU-s/GB`,
    baseline: 'Go Spegel 0.7.4, seen earlier on such a machine: 0.14-0.16; 0.86-1.08',
    ratio: `aim: ${AIM.serving}; ${AIM.pulling}: ${isMet ? 'met' : 'not met'}`,
  };
}
