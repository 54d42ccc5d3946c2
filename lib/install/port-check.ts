import { createServer } from 'node:net';
import { formatHostPort } from '../base/address.ts';
import { codeOf } from '../base/errors.ts';
import { holderOf } from '../port/holder.ts';
import { type ListeningSocket, listeningSockets, occupying } from '../port/listening.ts';
import { socketsOf } from '../port/processes.ts';
import { isHeld } from '../port/systemd-socket.ts';
import { type Finding, obstacle } from './finding.ts';
import { SOCKET } from './layout.ts';
import type { Systemctl } from './systemctl.ts';

/** An address on which the service will listen. */
export interface Listener {
  /** The variable that sets it. */
  readonly option: string;
  /** Empty: all addresses. */
  readonly host: string;
  readonly port: number;
}

/** Who has sockets for the service. */
export interface Owners {
  /** Of the service; 0 while it does not run. */
  readonly pid: number;
  /** `address:port` of the sockets that systemd has for it. */
  readonly listens: readonly string[];
}

/**
 * Addresses that another program has. What counts is who has the socket: a service that is in a
 * restart loop has a process, and not its port.
 */
export async function portFindings(
  listeners: readonly Listener[],
  { pid, listens }: Owners,
): Promise<Finding[]> {
  const sockets = listeningSockets();
  const own = pid === 0 ? new Set<number>() : socketsOf(pid);
  const held = { isInstalled: true, listens };
  const isOurs = (socket: ListeningSocket) =>
    own.has(socket.inode) || (socket.uid === 0 && isHeld(held, socket));
  const findings: Finding[] = [];
  for (const listener of listeners) {
    const there = occupying(sockets, listener.host, listener.port);
    const other = there.find((socket) => !isOurs(socket));
    const isFree = other === undefined && there.length > 0;
    if (listener.port === 0 || isFree) continue;
    const got = other === undefined ? await tryToListen(listener) : holderOf(other);
    if (got !== undefined) findings.push(taken(listener, got, [...sockets, ...listeners]));
  }
  return findings;
}

function taken(
  { option, host, port }: Listener,
  got: string,
  used: readonly { readonly port: number }[],
): Finding {
  const flag = `--${option.toLowerCase().replaceAll('_', '-')}`;
  const other = formatHostPort(host, freePort(port, used));
  const text = `expected port ${port} to be free for ${option}=${formatHostPort(host, port)}, got ${got}; stop what has it, or choose another with ${flag}`;
  return obstacle('port', text, [`spegel install ${flag}=${other}`, `ss -ltnp 'sport = :${port}'`]);
}

/** Ten further, as people count ports on. */
function freePort(port: number, used: readonly { readonly port: number }[]): number {
  const isUsed = (one: number) => used.some((other) => other.port === one);
  const further = Array.from({ length: 100 }, (_, index) => port + 10 * (index + 1));
  return further.find((one) => one <= 65_535 && !isUsed(one)) ?? 0;
}

/** The error's code when nothing can listen there. */
function tryToListen({ host, port }: Listener): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(codeOf(error) ?? error.message));
    const options = { port, ...(host === '' ? {} : { host }), exclusive: true };
    server.listen(options, () => server.close(() => resolve(undefined)));
  });
}

/**
 * What systemd has for the service. It has the port also while the unit is still starting, or
 * stopping already.
 */
export async function listensOf(systemctl: Systemctl): Promise<readonly string[]> {
  const properties = '--property=ActiveState,Listen';
  const shown = await systemctl.call('show', '--no-pager', properties, SOCKET);
  if (/^ActiveState=(?:inactive|failed)$/m.test(shown)) return [];
  return [...shown.matchAll(/^Listen=(\S+) \(Stream\)$/gm)].map(([, at = '']) => at);
}
