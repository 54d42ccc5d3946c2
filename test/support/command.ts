/** The built executable run to its end, as a user or a script calls it. */

import { EXECUTABLE } from '../../lab/executable.ts';
import { CommandError, run } from '../../lab/processes/exec.ts';

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Any exit code is an answer; what ends otherwise (a signal, a time-out) throws. */
export async function spegelCommand(...args: readonly string[]): Promise<Ended> {
  try {
    return { code: 0, ...(await run([EXECUTABLE, ...args], { timeoutMs: 30_000 })) };
  } catch (error) {
    if (!(error instanceof CommandError) || typeof error.code !== 'number') throw error;
    const { code, stdout, stderr } = error;
    return { code, stdout, stderr };
  }
}

/** `spegel configuration` on one certs.d. */
export function configure(hostsDir: string, ...flags: readonly string[]): Promise<Ended> {
  return spegelCommand('configuration', `--containerd-registry-config-path=${hostsDir}`, ...flags);
}

/** `spegel cleanup` on one certs.d. */
export function cleanUp(hostsDir: string, ...flags: readonly string[]): Promise<Ended> {
  return spegelCommand('cleanup', `--containerd-registry-config-path=${hostsDir}`, ...flags);
}
