import { existsSync } from 'node:fs';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Metafile } from 'esbuild';
import { COMMANDS } from '../../cmd/commands.ts';
import { completionsOf } from '../../cmd/report/completions.ts';
import { billOfMaterials } from './bom.ts';
import { contentsOf, licenceTexts } from './inventory.ts';
import { type Arch, nodeBinary } from './node-binary.ts';
import { pack } from './pack.ts';

/** Files and directories of the repository that an archive holds as they are. */
const COPIED = ['LICENSE', 'README.md', 'systemd'];

/** Architectures are named in file names as Go names them. */
export const GO_ARCH: Readonly<Record<Arch, string>> = { x64: 'amd64', arm64: 'arm64' };

export interface Build {
  /** The repository. */
  readonly root: string;
  readonly version: string;
  /** Seconds since 1970; what everything bears that has a time. */
  readonly date: number;
  readonly bundle: string;
  readonly metafile: Metafile;
}

/**
 * Makes the directory that becomes an archive. Returns the list of what the executable holds.
 */
export async function stage(build: Build, arch: Arch, directory: string): Promise<string> {
  const { root, version, date, bundle, metafile } = build;
  await mkdir(directory, { recursive: true });
  const node = await nodeBinary(root, arch);
  await pack({ root, bundle, node, arch }, join(directory, 'spegel'), `${directory}.work`);
  for (const name of COPIED) {
    if (existsSync(join(root, name))) {
      await cp(join(root, name), join(directory, name), { recursive: true });
    }
  }
  const contents = await contentsOf(root, metafile, arch);
  await writeFile(join(directory, 'LICENSE.third-party'), await licenceTexts(root, contents));
  for (const [name, text] of Object.entries(completionsOf(COMMANDS))) {
    const file = join(directory, 'completions', name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  return billOfMaterials(version, GO_ARCH[arch], contents, date);
}
