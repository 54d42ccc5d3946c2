import { existsSync } from 'node:fs';
import {
  type AddressInfo,
  createServer,
  isIPv4,
  type ListenOptions,
  type Server,
  type Socket,
} from 'node:net';
import { canonicalIp, formatHostPort, type ListenAddress } from '../base/address.ts';
import { codeOf, messageOf, SpegelError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';

export interface ListenSettings {
  readonly address: ListenAddress;
  /** What listens here, for messages: `registry`. */
  readonly name: string;
  /** The flag that sets the address, for messages: `--registry-addr`. */
  readonly option: string;
  /** A listening socket that systemd holds for this process; undefined: there is none. */
  readonly descriptor?: number | undefined;
}

/** A server that listens. */
export interface BoundListener {
  readonly port: number;
  /** True when a connection came to the address that is set. */
  isAtSetAddress(socket: Socket): boolean;
  /** Ends the second listener, where there is one. */
  close(): void;
}

/**
 * Listens on the descriptor; without one, binds the address itself (`port: 0` lets the kernel
 * choose). Where systemd holds another address it does both: a containerd before 2.3 waits for ever
 * where a connection gets no answer. Rejects with SpegelError ERR_LISTEN.
 */
export async function listen(
  server: Server,
  settings: ListenSettings,
  log: Logger,
): Promise<BoundListener> {
  const { address, descriptor } = settings;
  try {
    if (descriptor === undefined) return atOneAddress(await listenOn(server, bindOptions(address)));
    const held = await listenOn(server, { fd: descriptor });
    if (listensAt(held, address)) return atOneAddress(held);
    log.warn("systemd holds another address than the one that is set; run 'spegel install'", {
      name: settings.name,
      set: formatHostPort(address.host, address.port),
      held: formatHostPort(held.address, held.port),
    });
    return await listenBeside(server, held, settings, log);
  } catch (error) {
    throw new SpegelError('ERR_LISTEN', explain(error, settings), { cause: error });
  }
}

function atOneAddress({ port }: AddressInfo): BoundListener {
  return { port, isAtSetAddress: () => true, close() {} };
}

/**
 * Binds the address that is set, too. With the same port that is impossible: then each connection
 * is judged by the address that it came to.
 */
async function listenBeside(
  server: Server,
  held: AddressInfo,
  { address, name }: ListenSettings,
  log: Logger,
): Promise<BoundListener> {
  if (held.port === address.port) {
    return { port: held.port, isAtSetAddress: (socket) => cameTo(socket, address), close() {} };
  }
  const own = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
    server.emit('connection', socket),
  );
  const { port } = await listenOn(own, bindOptions(address));
  own.on('error', (error) => log.error('server failed', { name, error }));
  const isAtSetAddress = (socket: Socket) => cameTo(socket, { ...address, port });
  return { port, isAtSetAddress, close: () => void own.close() };
}

/** Without a host Node listens on `::` for both families, and on 0.0.0.0 where there is no IPv6. */
function bindOptions({ host, port }: ListenAddress): ListenOptions {
  return host === '' ? { port } : { host, port };
}

async function listenOn(
  server: Server,
  options: ListenOptions & { readonly fd?: number },
): Promise<AddressInfo> {
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

/** There when the kernel has IPv6. systemd looks for it, too, before it takes IPv4 alone. */
const IPV6_FILE = '/proc/net/if_inet6';

/** True when it listens where a server that binds the address itself would listen. */
function listensAt(bound: AddressInfo, { host, port }: ListenAddress): boolean {
  if (bound.port !== port) return false;
  if (host !== '' && host !== '::') return canonicalIp(bound.address) === host;
  return bound.address === '::' || (bound.address === '0.0.0.0' && !existsSync(IPV6_FILE));
}

/** True when a server that listens there would have got the connection. */
function cameTo({ localAddress = '', localPort }: Socket, { host, port }: ListenAddress): boolean {
  if (localPort !== port) return false;
  const ip = canonicalIp(localAddress);
  return host === '' || host === '::' || (host === '0.0.0.0' ? isIPv4(ip) : ip === host);
}

function explain(error: unknown, { address, name, option }: ListenSettings): string {
  const got = formatHostPort(address.host, address.port);
  const expected = `expected an address that the ${name} can listen on, got ${got}`;
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
