import { existsSync } from 'node:fs';
import type { AddressInfo, ListenOptions, Server } from 'node:net';
import { canonicalIp } from '../base/address.ts';
import { codeOf, messageOf, SpegelError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';

/** An address to listen on. An empty host means all interfaces, IPv6 and IPv4. */
export interface ListenOn {
  readonly host: string;
  readonly port: number;
}

/** Where a server is to listen. */
export interface Place {
  readonly address: ListenOn;
  /** What listens here, for messages: `registry`. */
  readonly name: string;
  /** The flag that sets the address, for messages: `--registry-addr`. */
  readonly option: string;
  /** A listening socket that systemd holds for this process; undefined: there is none. */
  readonly descriptor?: number | undefined;
}

/**
 * Listens on the descriptor where that is the address, else binds the address itself and closes the
 * descriptor; resolves with the port (`port: 0` lets the kernel choose). Rejects with SpegelError
 * ERR_LISTEN that says what was expected, what came and what to do.
 */
export async function listen(server: Server, place: Place, log: Logger): Promise<number> {
  const { address, descriptor } = place;
  let held: AddressInfo | undefined;
  try {
    if (descriptor !== undefined) {
      held = await listenOn(server, { fd: descriptor });
      if (isAt(held, address)) return held.port;
      // Before anything is accepted: no turn of the event loop has come since.
      await new Promise((resolve) => server.close(resolve));
      const fields = { held: formatListen({ host: held.address, port: held.port }) };
      log.warn(`systemd holds another address than ${formatListen(address)}; ${MEND}`, fields);
    }
    // Without a host Node listens on `::` for both families, and on 0.0.0.0 where there is no IPv6.
    const { host, port } = address;
    return (await listenOn(server, host === '' ? { port } : { host, port })).port;
  } catch (error) {
    throw new SpegelError('ERR_LISTEN', explain(error, place, held), { cause: error });
  }
}

async function listenOn(server: Server, options: ListenOptions & { fd?: number }): Promise<AddressInfo> {
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  try {
    server.listen(options, listening.resolve);
    await listening.promise;
  } finally {
    server.off('error', listening.reject);
    server.off('listening', listening.resolve);
  }
  return server.address() as AddressInfo;
}

/** Whether a socket listens where a server that binds the address itself would listen. */
function isAt(bound: AddressInfo, { host, port }: ListenOn): boolean {
  if (bound.port !== port) return false;
  if (host !== '' && host !== '::') return canonicalIp(bound.address) === host;
  // systemd looks for the same file before it takes IPv4 alone.
  return bound.address === '::' || (bound.address === '0.0.0.0' && !existsSync(HAS_IPV6));
}

const HAS_IPV6 = '/proc/net/if_inet6';
const MEND = "run 'spegel install' to have it hold that one";

function formatListen({ host, port }: ListenOn): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function explain(error: unknown, place: Place, held: AddressInfo | undefined): string {
  const { address, name, option } = place;
  const expected = `expected an address that the ${name} can listen on, got ${formatListen(address)}`;
  if (held?.port === address.port) {
    const other = formatListen({ host: held.address, port: held.port });
    return `${expected}: systemd holds ${other}; ${MEND}, or choose another with ${option}`;
  }
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return `${expected}: another process listens there; stop it or choose another with ${option}`;
    case 'EADDRNOTAVAIL':
      return `${expected}: this host has no such address; choose one of its own with ${option}`;
    case 'EACCES':
      return `${expected}: permission denied; run as root or choose a port above 1023 with ${option}`;
    default:
      return `${expected}: ${messageOf(error)}; choose another with ${option}`;
  }
}
