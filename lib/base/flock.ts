import { spawnSync } from 'node:child_process';
import type * as Ffi from 'node:ffi';
import { codeOf, messageOf, SpegelError } from './errors.ts';

// Linux, the same on every architecture that Node runs on.
const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

const LIBC = {
  flock: { return: 'i32', arguments: ['i32', 'i32'] },
  __errno_location: { return: 'pointer', arguments: [] },
} as const;

/** Exit code of the program flock(1) for a lock that another has. */
const CONFLICT = 1;

/**
 * The result of one try; `impossible` where the file system has no such locks (NFS has none for a
 * file that is open for reading).
 */
export type FlockResult = 'locked' | 'busy' | 'impossible';

/**
 * Tries to take the lock of an open file or directory (flock(2)), and does not wait. The lock ends
 * when the descriptor is closed, so in any case with this process.
 */
export function flock(descriptor: number): FlockResult {
  const ffi = process.getBuiltinModule('node:ffi') as typeof Ffi | undefined;
  return ffi === undefined ? flockByProgram(descriptor) : flockByLibc(descriptor, ffi);
}

function flockByLibc(descriptor: number, ffi: typeof Ffi): FlockResult {
  // Null: looks in this process, which has libc already.
  const { flock: call, __errno_location: errno } = ffi.dlopen(null, LIBC).functions;
  if (call(descriptor, LOCK_EX | LOCK_NB) === 0) return 'locked';
  return ffi.getInt32(errno()) === EWOULDBLOCK ? 'busy' : 'impossible';
}

/**
 * For a Node without node:ffi: runs flock(1) of util-linux or busybox, which locks its descriptor
 * 3. That is the same open file as ours, so the lock outlives the program. Throws SpegelError
 * ERR_HOSTS where there is no such program.
 */
export function flockByProgram(descriptor: number, program = 'flock'): FlockResult {
  const { error, status } = spawnSync(program, ['-n', '3'], {
    stdio: ['ignore', 'ignore', 'ignore', descriptor],
    timeout: 5_000,
  });
  if (error !== undefined) {
    const got = codeOf(error) === 'ENOENT' ? 'neither' : messageOf(error);
    throw new SpegelError(
      'ERR_HOSTS',
      `expected a Node with node:ffi, or the program flock, got ${got}; install util-linux`,
      { cause: error },
    );
  }
  if (status === 0) return 'locked';
  return status === CONFLICT ? 'busy' : 'impossible';
}
