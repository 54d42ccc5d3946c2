/** Programs of these tests that run on hosts of a lab and print what they did as JSON. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';
import type { NetHost } from '../../lab/network/nethost.ts';
import { Service } from '../../lab/processes/service.ts';

/** Starts a program of this directory on a host; it ends with the lab. */
export function startProgram(
  lab: Lab,
  net: NetHost,
  program: string,
  args: readonly string[],
): Service {
  const path = join(import.meta.dirname, `${program}.ts`);
  const log = join(lab.dir, `${net.ns}-${program.replaceAll(/\W/g, '-')}-${programs++}.log`);
  const service = new Service(net.on(process.execPath, path, ...args), log);
  lab.keep(`${net.ns} ${program} ${programs}`, service);
  service.start();
  return service;
}

let programs = 0;

/** The last whole line that a program has printed. */
export async function lastLine<T>({ logPath }: Service): Promise<T | undefined> {
  const line = (await readFile(logPath, 'utf8')).split('\n').at(-2);
  return line === undefined ? undefined : (JSON.parse(line) as T);
}

export interface Pulled {
  readonly count: number;
  readonly errors: readonly string[];
  readonly slowestMs: number;
}

/** One pull after the other, each of content that the host does not have then. */
export async function pullFor(
  { containerd }: LabHost,
  refs: readonly string[],
  ms: number,
): Promise<Pulled> {
  const errors: string[] = [];
  let [count, slowestMs] = [0, 0];
  for (const end = performance.now() + ms; performance.now() < end; count += 1) {
    const ref = refs[count % refs.length] ?? '';
    const started = performance.now();
    await containerd.pull(ref, { timeoutMs: 60_000 }).catch((error) => errors.push(error.message));
    slowestMs = Math.max(slowestMs, Math.round(performance.now() - started));
    await containerd.removeImage(ref).catch((error) => errors.push(error.message));
    await sleep(10);
  }
  return { count, errors, slowestMs };
}

/** Of its daemon, in seconds, until now. */
export async function cpuSeconds({ spegel }: LabHost): Promise<number> {
  const text = await readFile(`/proc/${spegel.service.pid}/stat`, 'utf8').catch(() => '');
  const [user = 0, system = 0] = text
    .replace(/^.*\) /, '')
    .split(' ')
    .slice(11, 13)
    .map(Number);
  return (user + system) / 100;
}
