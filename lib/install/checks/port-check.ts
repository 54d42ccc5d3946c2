import { createServer } from 'node:net';
import { formatHostPort } from '../../base/address.ts';
import { codeOf } from '../../base/errors.ts';
import {
  describeHolder,
  type ListeningSocket,
  listeningSockets,
  socketsOccupying,
  socketsOf,
} from '../../port/sockets.ts';
import { isSystemdSocket } from '../../port/systemd-socket.ts';
import type { Variables } from '../../proxy/go-proxy.ts';
import { type Finding, flagOf, obstacle, shellWord } from '../system/finding.ts';
import { SOCKET_UNIT } from '../system/layout.ts';
import type { Listener } from '../system/socket-unit.ts';
import type { Systemctl } from '../system/systemctl.ts';

/** The owners of the service's sockets. */
export interface Owners {
  /** The process of the service; 0 while it does not run. */
  readonly pid: number;
  /** `address:port` of the sockets that systemd holds for it. */
  readonly listens: readonly string[];
}

/**
 * Reports addresses that another program has. The owner of the socket counts: a service in a
 * restart loop has a process, but not its port. `flagSettings`: those of the
 * command line, which the command that a finding advises repeats.
 */
export async function portFindings(
  listeners: readonly Listener[],
  { pid, listens }: Owners,
  flagSettings: Variables = {},
): Promise<Finding[]> {
  const sockets = listeningSockets();
  const own = pid === 0 ? new Set<number>() : socketsOf(pid);
  const held = { isInstalled: true, listens };
  const isOurs = (socket: ListeningSocket) =>
    own.has(socket.inode) || (socket.uid === 0 && isSystemdSocket(held, socket));
  const found: TakenPort[] = [];
  const used: { readonly port: number }[] = [...sockets, ...listeners];
  for (const listener of listeners) {
    const there = socketsOccupying(sockets, listener.host, listener.port);
    const other = there.find((socket) => !isOurs(socket));
    const isFree = other === undefined && there.length > 0;
    if (listener.port === 0 || isFree) continue;
    const got = other === undefined ? await tryToListen(listener) : describeHolder(other);
    if (got === undefined) continue;
    const free = freePort(listener.port, used);
    used.push({ port: free });
    found.push({ listener, got, other: formatHostPort(listener.host, free) });
  }
  // One command with all the flags: with a part of them it would be refused for the rest.
  const others = Object.fromEntries(found.map(({ listener, other }) => [listener.option, other]));
  const words = Object.entries({ ...flagSettings, ...others }).map(([name, value = '']) =>
    shellWord(`${flagOf(name)}=${value}`),
  );
  return found.map((one) => takenFinding(one, ['spegel install', ...words].join(' ')));
}

interface TakenPort {
  readonly listener: Listener;
  /** The program that has the port. */
  readonly got: string;
  /** A free address. */
  readonly other: string;
}

function takenFinding(
  { listener: { option, host, port }, got }: TakenPort,
  command: string,
): Finding {
  const flag = flagOf(option);
  const text = `expected port ${port} to be free for ${option}=${formatHostPort(host, port)}, got ${got}; stop what has it, or choose another with ${flag}`;
  return obstacle('port', text, [command, `ss -ltnp 'sport = :${port}'`]);
}

/** A free port in steps of ten, as people choose further ports. */
function freePort(port: number, used: readonly { readonly port: number }[]): number {
  const isUsed = (one: number) => used.some((other) => other.port === one);
  const further = Array.from({ length: 100 }, (_, index) => port + 10 * (index + 1));
  return further.find((one) => one <= 65_535 && !isUsed(one)) ?? 0;
}

/** The error's code if nothing can listen there. */
function tryToListen({ host, port }: Listener): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(codeOf(error) ?? error.message));
    const options = { port, ...(host === '' ? {} : { host }), exclusive: true };
    server.listen(options, () => server.close(() => resolve(undefined)));
  });
}

/**
 * The sockets that systemd holds for the service. It has the port also while the unit starts or
 * stops.
 */
export async function listensOf(systemctl: Systemctl): Promise<readonly string[]> {
  const properties = '--property=ActiveState,Listen';
  const shown = await systemctl.call('show', '--no-pager', properties, SOCKET_UNIT);
  if (/^ActiveState=(?:inactive|failed)$/m.test(shown)) return [];
  return [...shown.matchAll(/^Listen=(\S+) \(Stream\)$/gm)].map(([, at = '']) => at);
}
