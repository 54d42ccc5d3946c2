/**
 * What a container of the lab needs: an image with a program in it, and a machine on which runc can
 * run.
 */
import {
  access,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeWithUmoci } from '../images/foreign-layouts.ts';
import type { Layout } from '../images/images.ts';
import { CommandError, run } from '../processes/exec.ts';
import { withLock } from '../processes/lock.ts';
import { suitesApt, unpack } from '../programs/apt.ts';
import { LAB_DIR, type LabTools, provisionLab } from '../programs/programs.ts';

/** busybox-static's program needs nothing of the machine, and runs on any Debian. */
const SUITE = 'bookworm';
/** Where the image has it. */
export const BUSYBOX = '/content/busybox';
const PROBE_TIMEOUT_MS = 30_000;

/** Path of the program, from the cache or fetched now. */
function fetchBusybox(): Promise<string> {
  const file = join(LAB_DIR, 'busybox');
  return withLock(join(LAB_DIR, 'lock-busybox'), async () => {
    const isHere = await access(file).then(
      () => true,
      () => false,
    );
    if (isHere) return file;
    process.stderr.write(`lab: fetching busybox into ${LAB_DIR} (once per machine)\n`);
    const work = join(LAB_DIR, 'busybox-work');
    const apt = await suitesApt(work, [SUITE]);
    await apt.call('update');
    await unpack(apt, join(work, 'root'), 'download', 'busybox-static');
    await rename(join(work, 'root/bin/busybox'), file);
    await rm(work, { recursive: true, force: true });
    return file;
  });
}

/**
 * An image that sleeps when it is run: for a container, and for a pod's sandbox. `dir` is made
 * here.
 */
export async function makeSleeper(tools: LabTools, dir: string): Promise<Layout> {
  const source = join(dir, 'source');
  await mkdir(source, { recursive: true });
  await copyFile(await fetchBusybox(), join(source, 'busybox'));
  const words = ['--config.entrypoint', BUSYBOX, '--config.cmd', 'sleep', '--config.cmd', '3600'];
  return makeWithUmoci(tools, join(dir, 'layout'), source, { config: words });
}

/** Why runc cannot run a container here, or false: it is tried. */
export async function containersMissing(): Promise<string | false> {
  const tools = await provisionLab();
  if ('missing' in tools) return `no lab: ${tools.missing}`;
  const bundle = await mkdtemp(join(tmpdir(), 'spegel-runc-'));
  try {
    await tryContainer(tools, bundle);
    return false;
  } catch (error) {
    const said = error instanceof CommandError ? error.stderr : String(error);
    return `no containers here: ${said.trim().split('\n').at(-1)}`;
  } finally {
    await rm(bundle, { recursive: true, force: true });
  }
}

async function tryContainer({ runc }: LabTools, bundle: string): Promise<void> {
  await mkdir(join(bundle, 'rootfs/content'), { recursive: true });
  await copyFile(await fetchBusybox(), join(bundle, 'rootfs', BUSYBOX));
  await run([runc, 'spec', '--bundle', bundle]);
  const file = join(bundle, 'config.json');
  const spec = JSON.parse(await readFile(file, 'utf8'));
  spec.process = { ...spec.process, terminal: false, args: [BUSYBOX, 'true'] };
  await writeFile(file, JSON.stringify(spec));
  const name = `spegel-lab-${process.pid}`;
  const argv = [runc, '--root', join(bundle, 'state'), 'run', '--bundle', bundle, name];
  await run(['unshare', '--mount', '--propagation', 'private', ...argv], {
    timeoutMs: PROBE_TIMEOUT_MS,
  });
}
