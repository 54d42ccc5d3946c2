import { readdirSync, readFileSync } from 'node:fs';
import type { ListeningSocket } from './listening.ts';
import { socketsOf } from './processes.ts';

/**
 * The holder of a socket, for a person: `docker-registry (pid 123)`, or the socket's user where
 * other processes cannot be seen.
 */
export function describeHolder({ inode, uid }: ListeningSocket): string {
  const [pid] = processes().filter((one) => socketsOf(one).has(inode));
  return pid === undefined ? `a program of ${userOf(uid)}` : `${nameOf(pid)} (pid ${pid})`;
}

/**
 * The ids of all processes, the latest first: systemd, which also has a service's socket, comes
 * last.
 */
function processes(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .sort((one, other) => other - one);
  } catch {
    return [];
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    // It has just ended.
    return 'a process';
  }
}

function userOf(uid: number): string {
  try {
    const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
    const line = lines.find((one) => one.split(':')[2] === String(uid));
    return line === undefined ? `user id ${uid}` : `user ${line.split(':')[0]} (id ${uid})`;
  } catch {
    return `user id ${uid}`;
  }
}
