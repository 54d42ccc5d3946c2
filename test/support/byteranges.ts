/** A Go client that asks for several ranges, as lazy-pulling snapshotters do. */
import { join } from 'node:path';
import type { LabHost } from '../../lab/fleet/lab.ts';
import { run, succeeds } from '../../lab/processes/exec.ts';

const SOURCE = join(import.meta.dirname, 'byteranges', 'main.go');

/** For node:test's `skip`: the reason why there can be no Go client here, else false. */
export async function goMissing(): Promise<string | false> {
  return (await succeeds(['go', 'version'])) ? false : 'no Go to build the client with';
}

/** Builds the client into `dir` and gives its path. */
export async function buildClient(dir: string): Promise<string> {
  const client = join(dir, 'byteranges');
  const env = { CGO_ENABLED: '0', GOTOOLCHAIN: 'local' };
  await run(['go', 'build', '-o', client, SOURCE], { env });
  return client;
}

/** What the client prints: the head, a line for each part, the error. */
export interface ClientLine {
  readonly status?: number;
  readonly type?: string;
  readonly length?: number;
  readonly range?: string;
  readonly sha256?: string;
  readonly error?: string;
}

/** Asks this host's own Spegel for `range` of `path`. */
export async function askRanges(
  host: LabHost,
  client: string,
  path: string,
  range: string,
): Promise<readonly ClientLine[]> {
  const { stdout } = await host.net.run([client, `http://127.0.0.1:5000${path}`, range]);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return lines.map((line): ClientLine => JSON.parse(line));
}
