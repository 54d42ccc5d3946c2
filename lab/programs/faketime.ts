/**
 * Gives a process a wrong wall clock, by libfaketime, which is unpacked and not installed. How long
 * things take stays as it is.
 */
import { access, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandError } from '../processes/exec.ts';
import { withLock } from '../processes/lock.ts';
import { machinesApt, unpack } from './apt.ts';
import { LAB_DIR } from './programs.ts';

const DIR = join(LAB_DIR, 'faketime');
const ARCH = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
const LIBRARY = join(DIR, `root/usr/lib/${ARCH}-linux-gnu/faketime/libfaketime.so.1`);

/** For node:test's `skip`: why it cannot be had here, else false. */
export async function faketimeMissing(): Promise<string | false> {
  try {
    await withLock(join(DIR, 'lock'), async () => {
      if (await isThere()) return;
      const apt = await machinesApt(DIR);
      await apt.call('update');
      const words = ['install', '--download-only', '--no-install-recommends', '--yes'];
      await unpack(apt, join(DIR, 'root'), ...words, '--reinstall', 'libfaketime');
      await rm(join(DIR, 'apt-machine'), { recursive: true, force: true });
    });
    return false;
  } catch (error) {
    const { stderr = String(error) } = error as Partial<CommandError>;
    return `no libfaketime: ${stderr.trim().split('\n').at(-1)}`;
  }
}

/** The environment of a process with a clock that is `seconds` ahead; below 0 it is behind. */
export function clockAhead(seconds: number): Record<string, string> {
  const offset = `${seconds < 0 ? '' : '+'}${seconds}s`;
  return { LD_PRELOAD: LIBRARY, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' };
}

function isThere(): Promise<boolean> {
  return access(LIBRARY).then(
    () => true,
    () => false,
  );
}
