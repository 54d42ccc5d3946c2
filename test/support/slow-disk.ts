/** A disk that is slow on purpose: a loop device whose reads the kernel throttles. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';

const MIB = 1024 * 1024;
const THROTTLE = '/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device';
/** What the kernel reads ahead on most disks; loop devices have other values. */
const READ_AHEAD_KIB = 128;

/** Why this machine cannot have one; false: it can. */
export const slowDiskMissing: string | false = (() => {
  if (process.geteuid?.() !== 0) return 'needs root';
  if (!existsSync(THROTTLE)) return 'needs the blkio controller of cgroup v1';
  if (!existsSync('/dev/loop-control')) return 'needs loop devices';
  try {
    execFileSync('mkfs.ext4', ['-V'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'needs mkfs.ext4';
  }
})();

/** An ext4 that gives `bytesPerS`, mounted until the test ends. Returns where. */
export async function slowDisk(t: TestContext, bytesPerS: number): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-slow-disk-'));
  const undo: (() => unknown)[] = [() => rm(directory, { recursive: true })];
  // The last step first; and whatever fails, the others too.
  t.after(async () => {
    for (const step of undo.reverse()) await Promise.try(step).catch(() => {});
  });
  const [image, mounted] = [join(directory, 'image'), join(directory, 'mounted')];
  await writeFile(image, '');
  await truncate(image, 256 * MIB);
  await mkdir(mounted);
  execFileSync('mkfs.ext4', ['-q', '-F', image]);
  const device = execFileSync('losetup', ['-f', '--show', image], { encoding: 'utf8' }).trim();
  undo.push(() => execFileSync('losetup', ['-d', device]));
  const about = join('/sys/block', basename(device));
  await writeFile(join(about, 'queue/read_ahead_kb'), String(READ_AHEAD_KIB));
  execFileSync('mount', [device, mounted]);
  undo.push(() => execFileSync('umount', ['-l', mounted]));
  const number = (await readFile(join(about, 'dev'), 'utf8')).trim();
  await writeFile(THROTTLE, `${number} ${bytesPerS}`);
  undo.push(() => writeFile(THROTTLE, `${number} 0`));
  return mounted;
}

/** Has the kernel forget what it has of a file that is on the disk. */
export function evict(path: string): void {
  execFileSync('sync', [path]);
  execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
}
