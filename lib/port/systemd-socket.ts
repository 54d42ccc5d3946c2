import { execFileSync } from 'node:child_process';
import { SYSTEMCTL_SHOW_TIMEOUT_MS } from './constants.ts';
import { type ListeningSocket, networkNamespaceOf } from './sockets.ts';

/** What systemd does for Spegel on this host. */
export interface SystemdSocket {
  /** The unit is installed: only systemd is to hold the port. */
  readonly isInstalled: boolean;
  /** `address:port` of each socket that it holds; empty while the unit is not active. */
  readonly listens: readonly string[];
}

const NOTHING: SystemdSocket = { isInstalled: false, listens: [] };

/**
 * The state of spegel.socket. systemd holds a socket when the unit is active and listens at the
 * socket's address and port: the kernel gives them to one process only.
 */
export function systemdSocket(): SystemdSocket {
  // systemd listens in its own network namespace. In another one the same port is another port.
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
      timeout: SYSTEMCTL_SHOW_TIMEOUT_MS,
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
