import { readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { archive, RELEASE_LEVEL, sha256Sums } from './package/archive.ts';
import { bundle } from './package/bundle.ts';
import { sourceDate } from './package/git.ts';
import type { Arch } from './package/node-binary.ts';
import { type Build, GO_ARCH, stage } from './package/stage.ts';

export interface ReleaseSettings {
  /** The repository. */
  readonly root: string;
  /** Where the files go. */
  readonly dist: string;
  readonly architectures: readonly Arch[];
  /** Of xz. */
  readonly level: number;
}

/**
 * Builds, for each architecture, `spegel_<version>_linux_<arch>.tar.xz` and the list of what its
 * executable holds (CycloneDX), and SHA256SUMS of them all. The same commit gives the same bytes,
 * in any folder.
 */
export async function release({ root, dist, architectures, level }: ReleaseSettings) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const work = join(dist, '.release');
  await rm(work, { recursive: true, force: true });
  const source = join(work, 'spegel.cjs');
  const metafile = await bundle(root, source);
  const build: Build = { root, version, date: sourceDate(root), bundle: source, metafile };
  const names = architectures.map((arch) => `spegel_${version}_linux_${GO_ARCH[arch]}`);
  const bills: string[] = [];
  // One after the other: each holds several copies of an executable in memory.
  for (const [i, arch] of architectures.entries()) {
    bills.push(await stage(build, arch, join(work, names[i] ?? '')));
  }
  const written = names.map(async (name, i) => {
    const files = [join(dist, `${name}.cdx.json`), join(dist, `${name}.tar.xz`)] as const;
    await writeFile(files[0], bills[i] ?? '');
    await archive(work, name, files[1], build.date, level);
    return files;
  });
  const files = (await Promise.all(written)).flat();
  await writeFile(join(dist, 'SHA256SUMS'), await sha256Sums(files));
  await rm(work, { recursive: true, force: true });
  return files;
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  const dist = resolve(root, 'dist');
  await mkdir(dist, { recursive: true });
  await release({ root, dist, architectures: ['x64', 'arm64'], level: RELEASE_LEVEL });
  process.stderr.write(`release: ${readFileSync(join(dist, 'SHA256SUMS'), 'utf8')}`);
}
