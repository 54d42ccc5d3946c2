import { connect, type Socket } from 'node:net';
import type { Transport } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import type { Multiaddr } from '@multiformats/multiaddr';

type TcpComponents = Parameters<ReturnType<typeof tcp>>[0];

/**
 * libp2p's TCP transport with its dialling replaced. The library takes its error listener off a socket when
 * the dial is aborted; a reset that arrives then is an uncaught 'error' event, and was seen to end the process.
 * Here a socket has a listener from its first to its last moment.
 */
export function guardedTcp(): (components: TcpComponents) => Transport {
  return (components) => Object.assign(tcp()(components), { _connect: connectGuarded });
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
      resolve(socket);
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
