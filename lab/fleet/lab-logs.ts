/** Keeps the logs of a lab when its test fails: everything else is removed. */
import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LABS_DIR } from '../network/slots.ts';
import type { Service } from '../processes/service.ts';

const FAILED_DIR = join(LABS_DIR, 'failed');
/** So many failures are kept for reading, the oldest go first. */
const KEPT = 20;
const TAIL_LINES = 15;

/** Copies the logs to where they survive the lab; returns that place and the end of each. */
export async function saveLogs(
  services: ReadonlyMap<string, Service>,
  lab: string,
): Promise<string> {
  const saved = join(FAILED_DIR, `${Date.now()}-${lab}`);
  await mkdir(saved, { recursive: true });
  for (const old of (await readdir(FAILED_DIR)).sort().slice(0, -KEPT)) {
    await rm(join(FAILED_DIR, old), { recursive: true, force: true });
  }
  const parts = [`logs: ${saved}`];
  for (const [name, service] of services) {
    const path = join(saved, `${name.replaceAll(' ', '-')}.log`);
    await cp(service.logPath, path).catch(() => {}); // it never started
    parts.push(
      `--- ${name}${service.running ? '' : ' (not running)'}`,
      await service.tail(TAIL_LINES),
    );
  }
  return parts.join('\n');
}
