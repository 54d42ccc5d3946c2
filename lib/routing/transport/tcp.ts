import { once } from 'node:events';
import { connect, type Server, type Socket } from 'node:net';
import type { Connection, CreateListenerOptions, Listener, Transport } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import type { Multiaddr } from '@multiformats/multiaddr';
import { canonicalIp, type HostPort } from '../../base/address.ts';

type TcpComponents = Parameters<ReturnType<typeof tcp>>[0];

/** A member of libp2p's listener that its interface does not declare. */
type NetListener = Listener & { readonly server: Server };

/**
 * libp2p's TCP transport with its dialling replaced, and with what is written in one turn sent
 * together. The library removes its error listener from a
 * socket when the dial is aborted; a reset that arrives then is an uncaught 'error' event, which
 * ended the process. Here a socket has an error listener for its whole life.
 */
export function guardedTcp(): (components: TcpComponents) => Transport {
  return (components) => {
    const transport = tcp()(components);
    const createListener = (options: CreateListenerOptions): Listener => {
      const listener = Object.getPrototypeOf(transport).createListener.call(transport, options);
      (listener as NetListener).server.prependListener('connection', joinWrites);
      return listener;
    };
    return Object.assign(transport, { _connect: connectGuarded, createListener });
  };
}

/**
 * What is written to this socket within a turn goes into one system call and one packet. libp2p
 * writes the length of each message by itself, and a packet for two bytes costs as much as a full
 * one.
 */
function joinWrites(socket: Socket): void {
  const write = socket.write;
  let isCorked = false;
  const uncork = () => {
    isCorked = false;
    socket.uncork();
  };
  socket.write = (...piece: unknown[]): boolean => {
    if (!isCorked) {
      isCorked = true;
      socket.cork();
      process.nextTick(uncork);
    }
    return Reflect.apply(write, socket, piece);
  };
}

function connectGuarded(address: Multiaddr, options: { signal: AbortSignal }): Promise<Socket> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const [where, tcpPort] = address.getComponents();
    const socket = connect({
      host: where?.value ?? '',
      port: Number(tcpPort?.value),
      noDelay: true,
      keepAlive: true,
    });
    const onAbort = () => {
      reject(signal.reason);
      socket.destroy();
    };
    socket.on('error', (error) => {
      signal.removeEventListener('abort', onAbort);
      reject(error);
    });
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort);
      joinWrites(socket);
      resolve(socket);
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/**
 * The IP of this host that a connection uses, canonical; undefined when the connection is closed.
 * libp2p's interface has only the remote end, so this reads a private member of the library; a test
 * fails when that changes.
 */
export function localIpOf(connection: Connection): string | undefined {
  const { maConn } = connection as unknown as { readonly maConn?: { readonly socket?: Socket } };
  const ip = maConn?.socket?.localAddress;
  return ip === undefined ? undefined : canonicalIp(ip);
}

/**
 * Resolves when another host answers a TCP connection from this IP of ours, which proves that it
 * has a route back. Closes the connection at once. Rejects if there is no answer before the signal.
 */
export async function connectFrom(
  localAddress: string,
  { host, port }: HostPort,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const socket = connect({ host, port, localAddress });
  // An error after the signal has no other listener and would end the process.
  socket.on('error', () => {});
  try {
    await once(socket, 'connect', { signal });
  } finally {
    socket.destroy();
  }
}
