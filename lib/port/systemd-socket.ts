import { execFileSync } from 'node:child_process';
import type { ListeningSocket } from './listening.ts';
import { networkNamespaceOf } from './processes.ts';

const TIMEOUT_MS = 3_000;

/** What systemd does for Spegel on this host. */
export interface SystemdSocket {
  /** The unit is installed: nobody but systemd is to hold the port. */
  readonly isInstalled: boolean;
  /** `address:port` of each socket that it holds; none while the unit is not active. */
  readonly listens: readonly string[];
}

const NOTHING: SystemdSocket = { isInstalled: false, listens: [] };

/**
 * What spegel.socket says. Proof that systemd holds a socket is that the unit is active and listens
 * at that very address and port: the kernel gives them to one.
 */
export function systemdSocket(): SystemdSocket {
  // systemd listens where it runs itself: in another network namespace the same port is another one.
  const [own, first] = [networkNamespaceOf('self'), networkNamespaceOf(1)];
  if (first !== undefined && first !== own) return NOTHING;
  try {
    const words = [
      'show',
      '--no-pager',
      '--property=LoadState,ActiveState,Listen',
      'spegel.socket',
    ];
    const shown = execFileSync('systemctl', words, {
      encoding: 'utf8',
      env: { LC_ALL: 'C', PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: TIMEOUT_MS,
    });
    const listens = [...shown.matchAll(/^Listen=(\S+) \(Stream\)$/gm)].map(([, at = '']) => at);
    return {
      isInstalled: /^LoadState=loaded$/m.test(shown),
      listens: /^ActiveState=active$/m.test(shown) ? listens : [],
    };
  } catch {
    // There is no systemd here, or it does not answer.
    return NOTHING;
  }
}

export function isSystemdSocket(
  { listens }: SystemdSocket,
  { ip, port }: ListeningSocket,
): boolean {
  return listens.includes(ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);
}
