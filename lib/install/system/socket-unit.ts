import type { ListenAddress } from '../../base/address.ts';
import { formatHostPort } from '../../base/address.ts';
import { listeningSockets } from '../../port/listening.ts';
import { socketsOf } from '../../port/processes.ts';

/** An address on which the service will listen. */
export interface Listener extends ListenAddress {
  /** The variable that sets it. */
  readonly option: string;
}

/**
 * The unit by which systemd holds the registry's address. Undefined for port 0: the kernel chooses
 * another one each time.
 */
export function socketUnit(
  text: string,
  { host, port }: Pick<Listener, 'host' | 'port'>,
): string | undefined {
  if (port === 0) return undefined;
  const address = host === '' ? `${port}` : formatHostPort(host, port);
  return text.replace(/^ListenStream=.*$/m, `ListenStream=${address}`);
}

/**
 * Whether systemd itself has the port. `systemctl show` does not tell: it says what the unit wants,
 * also when that was changed after the socket was made. For root.
 */
export function isHeldBySystemd(port: number): boolean {
  const held = socketsOf(1);
  return listeningSockets().some((socket) => socket.port === port && held.has(socket.inode));
}
