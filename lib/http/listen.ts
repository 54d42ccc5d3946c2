import type { Server } from 'node:net';
import { codeOf, messageOf, SpegelError } from '../base/errors.ts';

/** An address to listen on. An empty host means all interfaces, IPv6 and IPv4. */
export interface ListenOn {
  readonly host: string;
  readonly port: number;
}

/**
 * Listens; resolves with the port (`port: 0` lets the kernel choose). Rejects with SpegelError ERR_LISTEN
 * that says what was expected, what came and what to do; `option` is the flag that names the address.
 */
export async function listen(
  server: Server,
  address: ListenOn,
  name: string,
  option: string,
): Promise<number> {
  const { host, port } = address;
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  // Without a host Node listens on `::` for both families, and on 0.0.0.0 where there is no IPv6.
  server.listen(host === '' ? { port } : { host, port }, listening.resolve);
  try {
    await listening.promise;
  } catch (error) {
    throw new SpegelError('ERR_LISTEN', explain(error, formatListen(address), name, option), {
      cause: error,
    });
  } finally {
    server.off('error', listening.reject);
  }
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : port;
}

function formatListen({ host, port }: ListenOn): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function explain(error: unknown, address: string, name: string, option: string): string {
  const expected = `expected an address that the ${name} can listen on, got ${address}`;
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
