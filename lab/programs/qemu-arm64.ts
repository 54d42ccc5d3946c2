/**
 * A way to run arm64 programs on another machine: qemu's user mode emulation and Debian's arm64
 * libraries, fetched as the lab fetches its programs; the machine's own packages stay as they are.
 */
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withLock } from '../processes/lock.ts';
import { suitesApt, unpack } from './apt.ts';
import { LAB_DIR } from './programs.ts';

/**
 * The oldest Debian that is meant to run the executable; qemu's binary is static and runs anywhere.
 */
const SUITE = 'bookworm';
/** What the executable may need; that it needs no more is what running it shows. */
const LIBRARIES = ['libc6', 'libstdc++6', 'libgcc-s1'];
const QEMU = 'qemu-aarch64-static';
const ARM64 = ['-o', 'APT::Architecture=arm64', '-o', 'APT::Architectures=arm64'];

/** The words to put in front of an arm64 program. */
export type Emulator = readonly [qemu: string, ...flags: string[]];

/** The emulator, from the cache or fetched now; or the reason why tests have to be skipped. */
export async function arm64Emulator(): Promise<Emulator | { readonly missing: string }> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return { missing: `needs Linux on x64, this is ${process.platform} on ${process.arch}` };
  }
  if (process.getuid?.() !== 0) return { missing: `needs root (Debian packages in ${LAB_DIR})` };
  const dir = join(LAB_DIR, `qemu-arm64-${SUITE}`);
  const emulator = [join(dir, QEMU), '-L', join(dir, 'root')] as const;
  try {
    await mkdir(LAB_DIR, { recursive: true });
    await withLock(join(LAB_DIR, 'lock-qemu'), async () => {
      if (!(await isComplete(dir))) await fetchInto(dir);
    });
    return emulator;
  } catch (error) {
    const [first] = String(error instanceof Error ? error.message : error).split('\n');
    return { missing: `packages could not be fetched: ${first}` };
  }
}

async function isComplete(dir: string): Promise<boolean> {
  return access(join(dir, 'complete')).then(
    () => true,
    () => false,
  );
}

async function fetchInto(dir: string): Promise<void> {
  process.stderr.write(
    `lab: fetching ${QEMU} and arm64 libraries into ${dir} (once per machine)\n`,
  );
  await rm(dir, { recursive: true, force: true });
  const work = join(dir, 'work');
  const native = await suitesApt(join(work, 'native'), [SUITE]);
  await native.call('update');
  await unpack(native, join(work, 'qemu'), 'download', 'qemu-user-static');
  await rename(join(work, 'qemu/usr/bin', QEMU), join(dir, QEMU));
  const foreign = await suitesApt(join(work, 'arm64'), [SUITE]);
  await foreign.call('update', ...ARM64);
  await unpack(foreign, join(dir, 'root'), 'download', ...ARM64, ...LIBRARIES);
  await rm(work, { recursive: true, force: true });
  await writeFile(join(dir, 'complete'), '');
}
