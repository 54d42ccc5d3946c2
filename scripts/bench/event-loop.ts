import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { startNginx } from './data-path.ts';
import { putLayers, twoServices } from './layer-hosts.ts';
import { median, missing, percentile, type Row } from './table.ts';

const ROUNDS = 5;
const BODIES = 16;
const LAYER_MIB = 1024;
const ASKED_MS = 3_000;
/** Longer than it takes to start a program, and to ask for ASKED_MS. */
const BODIES_S = 8;
const NGINX_PORT = 8_080;
const ASK_AGAIN = fileURLToPath(new URL('ask-again.ts', import.meta.url));

/** What is asked while the bodies run, and how long an answer may take at p99. */
interface Question {
  readonly what: string;
  readonly ours: string;
  readonly nginx: string;
  readonly aimMs: number;
}

/**
 * How long a host that serves sixteen layers to a neighbour leaves others waiting, beside nginx:
 * hosts in network namespaces that are joined by veth, content in the page cache. `/v2/` is
 * answered within one turn of the event loop, so it takes at least the event loop's delay. The
 * client is one curl for all bodies, which leaves a core to the server.
 */
export async function benchEventLoop(): Promise<Row[]> {
  const reason = await labMissing();
  if (reason !== false) return [missing('asked while 16 bodies run', reason)];
  await using lab = await twoServices();
  const { holder, client, manifest, layer, blobsDir } = await putLayers(lab, {
    name: 'event-loop',
    layerMiB: LAYER_MIB,
  });
  await using _nginx = await startNginx(lab, holder, NGINX_PORT, `root ${blobsDir};`);
  const ours = `http://${holder.address}:5000`;
  const nginx = `http://${holder.address}:${NGINX_PORT}`;
  const layers = { ours: `${ours}${layer.path}`, nginx: `${nginx}/${layer.file}` };
  const small = `${nginx}/${manifest.file}`;
  const manifestUrl = `${ours}${manifest.path}`;
  const questions = [
    { what: 'event loop (GET /v2/)', ours: `${ours}/v2/`, nginx: small, aimMs: 5 },
    { what: 'a manifest', ours: manifestUrl, nginx: small, aimMs: 10 },
  ];
  const rows: Row[] = [];
  for (const question of questions) rows.push(await compare(client, layers, question));
  return rows;
}

async function compare(
  client: LabHost,
  layers: { readonly ours: string; readonly nginx: string },
  question: Question,
): Promise<Row> {
  const p99 = { ours: [] as number[], nginx: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const way of ['ours', 'nginx'] as const)
      p99[way].push(percentile(await askMeanwhile(client, layers[way], question[way]), 0.99));
  }
  const [ours, nginx] = [median(p99.ours), median(p99.nginx)];
  return {
    what: `${question.what} while ${BODIES} layers are served over veth, p99; nginx: a small file`,
    ours: `${ours.toFixed(1)} ms`,
    baseline: `${nginx.toFixed(1)} ms`,
    ratio: `aim: ${question.aimMs} ms: ${ours <= question.aimMs ? 'met' : 'not met'}`,
  };
}

/** Milliseconds that each answer took while the bodies ran. */
async function askMeanwhile(client: LabHost, layer: string, asked: string): Promise<number[]> {
  const config = join(client.dir, 'bodies.curl');
  const body = `url = "${layer}"\noutput = "/dev/null"\n`;
  await writeFile(config, body.repeat(BODIES));
  let areOver = false;
  const many = ['--parallel', '--parallel-immediate', '--parallel-max', String(BODIES)];
  const end = ['--max-time', String(BODIES_S)];
  const over = () => {
    areOver = true;
  };
  // It ends in the middle of the bodies, which is an error to curl.
  const bodies = client.net.curl('--fail', ...many, ...end, '--config', config).then(over, over);
  const argv = [process.execPath, ASK_AGAIN, asked, String(ASKED_MS)];
  const { stdout } = await client.net.run(argv);
  if (areOver) throw new Error(`${BODIES} bodies ended within ${ASKED_MS} ms`);
  await bodies;
  return JSON.parse(stdout) as number[];
}
