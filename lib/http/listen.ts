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

/** Where a server is to listen. */
export interface ListenSettings {
  readonly address: ListenAddress;
  /** What listens here, for messages: `registry`. */
  readonly name: string;
  /** The flag that sets the address, for messages: `--registry-addr`. */
  readonly option: string;
  /** A listening socket that systemd holds for this process; undefined: there is none. */
  readonly descriptor?: number | undefined;
}

export interface BoundListener {
  readonly port: number;
  /** Whether a connection came to the address that was asked for. */
  isMeant(socket: Socket): boolean;
  /** Ends what accepts connections beside the server. */
  close(): void;
}

/**
 * Listens on the descriptor, else binds the address itself (`port: 0` lets the kernel choose). Where
 * systemd holds another address it does both: without an answer there, a containerd before 2.3 waits
 * for ever. Rejects with SpegelError ERR_LISTEN that says what was expected, what came and what to do.
 */
export async function listen(
  server: Server,
  place: ListenSettings,
  log: Logger,
): Promise<BoundListener> {
  const { address, descriptor } = place;
  try {
    if (descriptor === undefined) return withoutMore(await listenOn(server, bindOptions(address)));
    const held = await listenOn(server, { fd: descriptor });
    if (isAt(held, address)) return withoutMore(held);
    log.warn("systemd holds another address than the one that is set; run 'spegel install'", {
      name: place.name,
      set: formatHostPort(address.host, address.port),
      held: formatHostPort(held.address, held.port),
    });
    return await listenBeside(server, held, place, log);
  } catch (error) {
    throw new SpegelError('ERR_LISTEN', explain(error, place), { cause: error });
  }
}

function withoutMore({ port }: AddressInfo): BoundListener {
  return { port, isMeant: () => true, close() {} };
}

/** Of the same port nobody can bind another address. */
async function listenBeside(
  server: Server,
  held: AddressInfo,
  { address, name }: ListenSettings,
  log: Logger,
): Promise<BoundListener> {
  if (held.port === address.port) {
    return { port: held.port, isMeant: (socket) => isTo(socket, address), close() {} };
  }
  const own = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
    server.emit('connection', socket),
  );
  const { port } = await listenOn(own, bindOptions(address));
  own.on('error', (error) => log.error('server failed', { name, error }));
  const isMeant = (socket: Socket) => isTo(socket, { ...address, port });
  return { port, isMeant, close: () => void own.close() };
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

/** systemd looks for it, too, before it takes IPv4 alone. */
const HAS_IPV6 = '/proc/net/if_inet6';

/** Whether a socket listens where a server that binds the address itself would listen. */
function isAt(bound: AddressInfo, { host, port }: ListenAddress): boolean {
  if (bound.port !== port) return false;
  if (host !== '' && host !== '::') return canonicalIp(bound.address) === host;
  return bound.address === '::' || (bound.address === '0.0.0.0' && !existsSync(HAS_IPV6));
}

/** Whether a server that listens there would have got the connection. */
function isTo({ localAddress = '', localPort }: Socket, { host, port }: ListenAddress): boolean {
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
