import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withoutLibatomic } from './libatomic.ts';
import { strip } from './strip.ts';

/** Node's names of the architectures that are released. */
export type Arch = 'x64' | 'arm64';

const MAX_BINARY_BYTES = 512 * 1024 * 1024;

const run = promisify(execFile);

/**
 * The Node that goes into the executable: that of the npm package `node-linux-<arch>` which
 * package-lock.json pins, without symbols and without libatomic.so.1.
 */
export async function nodeBinary(root: string, arch: Arch): Promise<Buffer> {
  const name = `node-linux-${arch}`;
  const locked = (await lockedPackages(root))[`node_modules/${name}`];
  if (locked?.version !== process.versions.node) {
    // What is packed is made by the Node that runs this, and read by the one that is packed.
    throw new Error(`expected to run on Node ${locked?.version}, as ${name}: use make`);
  }
  const installed = join(root, 'node_modules', name, 'bin', 'node');
  // What npm installed it has checked; the other architecture's package it does not install.
  const delivered = existsSync(installed)
    ? await readFile(installed)
    : await fetched(root, name, locked);
  const binary = strip(delivered);
  withoutLibatomic(binary);
  return binary;
}

export interface LockedPackage {
  readonly version: string;
  readonly integrity: string;
  readonly license?: string;
}

/** What package-lock.json says, by directory: `node_modules/<name>`. */
export async function lockedPackages(root: string): Promise<Record<string, LockedPackage>> {
  return JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')).packages;
}

/** From npm's registry, or from what an earlier build fetched; checked in both cases. */
async function fetched(root: string, name: string, locked: LockedPackage): Promise<Buffer> {
  const cache = join(root, 'node_modules', '.cache', 'spegel');
  const archive = join(cache, `${name}-${locked.version}.tgz`);
  if (!(await hasIntegrity(archive, locked.integrity))) {
    await rm(archive, { force: true });
    await mkdir(cache, { recursive: true });
    process.stderr.write(`fetching ${name} ${locked.version} ...\n`);
    const words = ['pack', `${name}@${locked.version}`, '--pack-destination', cache, '--silent'];
    await run('npm', words, { cwd: root });
    if (!(await hasIntegrity(archive, locked.integrity))) {
      throw new Error(`${archive} is not what package-lock.json pins (${locked.integrity})`);
    }
  }
  const extract = ['-xzOf', archive, 'package/bin/node'];
  const { stdout } = await run('tar', extract, { encoding: 'buffer', maxBuffer: MAX_BINARY_BYTES });
  return stdout;
}

async function hasIntegrity(file: string, integrity: string): Promise<boolean> {
  if (!existsSync(file)) return false;
  const [algorithm = '', digest] = integrity.split('-');
  return (
    createHash(algorithm)
      .update(await readFile(file))
      .digest('base64') === digest
  );
}
