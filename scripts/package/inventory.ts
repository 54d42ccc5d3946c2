import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { type Arch, lockedPackages } from './node-binary.ts';

/** An npm package of which the bundle holds at least a file, or that Node comes from. */
export interface Content {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** As in package-lock.json: `sha512-<base64>`, of the archive in npm's registry. */
  readonly integrity: string;
  /** A directory that it lies in, relative to the root. */
  readonly directory: string;
}

/** All that the executable holds beside our own code: Node first, then packages by directory. */
export async function contentsOf(root: string, metafile: Metafile, arch: Arch): Promise<Content[]> {
  const locked = await lockedPackages(root);
  const files = Object.values(metafile.outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0),
  );
  const directories = new Set(files.map(([file]) => packageOf(file)).filter((one) => one !== ''));
  const all = [`node_modules/node-linux-${arch}`, ...[...directories].sort()];
  const contents = all.map((directory): Content => {
    const entry = locked[directory];
    if (entry?.integrity === undefined) throw new Error(`${directory}: not in package-lock.json`);
    const name = directory.slice(directory.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const { version, integrity, license = 'NOASSERTION' } = entry;
    return { name, version, license, integrity, directory };
  });
  // The same version may lie below several packages that need it.
  return [...new Map(contents.map((one) => [`${one.name}@${one.version}`, one])).values()];
}

/**
 * `node_modules/a/node_modules/@b/c/dist/index.js` belongs to `node_modules/a/node_modules/@b/c`.
 */
function packageOf(file: string): string {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0] ?? '';
}

/** The licences of all contents in one text, as most of them ask for. */
export async function licenceTexts(root: string, contents: readonly Content[]): Promise<string> {
  const parts = contents.map(async ({ name, version, license, directory }) => {
    const from = existsSync(join(root, directory)) ? directory : hostsNode(directory);
    const files = (await readdir(join(root, from)))
      .filter((file) => /^(?:licen[cs]e|copying|notice)/i.test(file))
      .sort();
    const texts = await Promise.all(files.map((file) => readFile(join(root, from, file), 'utf8')));
    return [`==== ${name} ${version} (${license})`, '', ...texts].join('\n');
  });
  return (await Promise.all(parts)).join('\n\n');
}

/**
 * Node's licence is one for all architectures, and the other one's package is not unpacked here.
 */
function hostsNode(directory: string): string {
  if (!directory.startsWith('node_modules/node-linux-')) throw new Error(`${directory} is missing`);
  return `node_modules/node-linux-${process.arch}`;
}
