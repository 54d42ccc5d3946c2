import { execFileSync } from 'node:child_process';
import type { ListeningSocket } from './listening.ts';
import { networkOf } from './processes.ts';

const TIMEOUT_MS = 3_000;

/**
 * Whether systemd holds this socket for Spegel (spegel.socket), be there a daemon now or not. Proof is
 * that the unit is active and listens at that very address and port: the kernel gives them to one.
 */
export function isHeldBySystemd({ ip, port, uid }: ListeningSocket): boolean {
  if (uid !== 0) return false;
  // systemd listens where it runs itself: in another network namespace the same port is another one.
  const [own, first] = [networkOf('self'), networkOf(1)];
  if (first !== undefined && first !== own) return false;
  const address = ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
  return listens().includes(address);
}

function listens(): string[] {
  try {
    const words = ['show', '--no-pager', '--property=ActiveState,Listen', 'spegel.socket'];
    const shown = execFileSync('systemctl', words, {
      encoding: 'utf8',
      env: { LC_ALL: 'C', PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: TIMEOUT_MS,
    });
    if (!/^ActiveState=active$/m.test(shown)) return [];
    return [...shown.matchAll(/^Listen=(\S+) \(Stream\)$/gm)].map(([, address = '']) => address);
  } catch {
    // There is no systemd here, or it does not answer.
    return [];
  }
}
