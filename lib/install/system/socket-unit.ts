import { formatHostPort, type ListenAddress } from '../../base/address.ts';
import { listeningSockets, socketsOf } from '../../port/sockets.ts';

/** An address on which the service listens. */
export interface Listener extends ListenAddress {
  /** The variable that sets it. */
  readonly option: string;
}

/**
 * The text of the unit by which systemd holds the registry's address. Undefined for port 0: the
 * kernel chooses another port each time.
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
 * Whether systemd has a socket on the port. `systemctl show` names the address that the unit has
 * now, even if the socket was made before for another one. Only root sees the sockets of systemd.
 */
export function isHeldBySystemd(port: number): boolean {
  const held = socketsOf(1);
  return listeningSockets().some((socket) => socket.port === port && held.has(socket.inode));
}
