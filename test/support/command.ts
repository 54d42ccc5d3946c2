/** The built executable run to its end, as a user or a script calls it. */

import { EXECUTABLE } from '../../lab/executable.ts';
import { CommandError, run } from '../../lab/processes/exec.ts';

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Any exit code is an answer; what ends otherwise (a signal, a time-out) throws. */
export function spegelCommand(...args: readonly string[]): Promise<Ended> {
  return ended([EXECUTABLE, ...args]);
}

/** In a network of its own, where no daemon of another test listens: as on a host without one. */
function spegelApart(...args: readonly string[]): Promise<Ended> {
  return ended(['unshare', '--net', EXECUTABLE, ...args]);
}

async function ended(words: readonly string[]): Promise<Ended> {
  try {
    return { code: 0, ...(await run(words, { timeoutMs: 30_000 })) };
  } catch (error) {
    if (!(error instanceof CommandError) || typeof error.code !== 'number') throw error;
    const { code, stdout, stderr } = error;
    return { code, stdout, stderr };
  }
}

/** `spegel configuration` on one certs.d. Needs root. */
export function configure(hostsDir: string, ...flags: readonly string[]): Promise<Ended> {
  return spegelApart('configuration', `--containerd-registry-config-path=${hostsDir}`, ...flags);
}

/** `spegel cleanup` on one certs.d. Needs root. */
export function cleanUp(hostsDir: string, ...flags: readonly string[]): Promise<Ended> {
  return spegelApart('cleanup', `--containerd-registry-config-path=${hostsDir}`, ...flags);
}
