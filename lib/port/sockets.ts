import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { endianness } from 'node:os';
import { join } from 'node:path';
import { canonicalIp, isUnspecified } from '../base/address.ts';
import { codeOf, messageOf, SpegelError } from '../base/errors.ts';

/** A TCP socket that listens in this network namespace. */
export interface ListeningSocket {
  /** Canonical; `0.0.0.0` or `::` for all addresses. */
  readonly ip: string;
  readonly port: number;
  /** User id of the user that made it. */
  readonly uid: number;
  /** Its number on this host, as in `socket:[123]`. */
  readonly inode: number;
  readonly family: 4 | 6;
}

/**
 * Where the kernel lists the sockets. It is this process's own file, since a unit may see no
 * others.
 */
const NETWORK = '/proc/self/net';
/** TCP_LISTEN of the kernel's include/net/tcp_states.h. */
const LISTEN = '0A';

/**
 * The TCP sockets that listen in this network namespace (proc(5), /proc/net/tcp). Throws
 * SpegelError ERR_PORT when the kernel does not tell.
 */
export function listeningSockets(directory = NETWORK): ListeningSocket[] {
  const path = `${directory}/tcp`;
  try {
    return [...parse(readFileSync(path, 'utf8'), 4), ...parse(readTcp6(`${path}6`), 6)];
  } catch (error) {
    const text = `${path}: expected the list of what listens on this host, got: ${messageOf(error)}; mount /proc`;
    throw new SpegelError('ERR_PORT', text, { cause: error });
  }
}

/** The file is missing on a host without IPv6. */
function readTcp6(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return '';
    throw error;
  }
}

function parse(text: string, family: 4 | 6): ListeningSocket[] {
  return text.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , uid, , inode] = line.trim().split(/\s+/);
    const [address = '', port = ''] = local.split(':');
    if (state !== LISTEN) return [];
    const bytes = bytesOf(address);
    const ip = family === 4 ? bytes.join('.') : canonicalIp(groupsOf(bytes));
    return { ip, port: Number.parseInt(port, 16), uid: Number(uid), inode: Number(inode), family };
  });
}

/**
 * The bytes of an address. The kernel prints words of four bytes, each in the byte order of the
 * machine.
 */
function bytesOf(hex: string): Buffer {
  const bytes = Buffer.from(hex, 'hex');
  return endianness() === 'LE' ? bytes.swap32() : bytes;
}

function groupsOf(bytes: Buffer): string {
  return (bytes.toString('hex').match(/.{4}/g) ?? []).join(':');
}

/**
 * The sockets of which one gets a connection to this address, by the kernel's order
 * (net/ipv4/inet_hashtables.c): the exact address before all addresses, IPv4 before IPv6. It is
 * more than one only where one user shares the port among them.
 */
export function socketsAnswering(
  sockets: readonly ListeningSocket[],
  ip: string,
  port: number,
): readonly ListeningSocket[] {
  const there = sockets.filter((socket) => socket.port === port);
  const all = isIPv4(ip) ? ['0.0.0.0', '::'] : ['::'];
  const groups = [[ip], all].flatMap((ips) =>
    ([4, 6] as const).map((family) =>
      there.filter((socket) => socket.family === family && ips.includes(socket.ip)),
    ),
  );
  return groups.find((group) => group.length > 0) ?? [];
}

/** The sockets that keep others from listening there. An empty host is every address. */
export function socketsOccupying(
  sockets: readonly ListeningSocket[],
  host: string,
  port: number,
): readonly ListeningSocket[] {
  const isAny = host === '' || isUnspecified(host);
  return sockets.filter(
    ({ ip, port: other }) => other === port && (isAny || isUnspecified(ip) || ip === host),
  );
}

/** The number of a process's network namespace; undefined when it may not be seen. */
export function networkNamespaceOf(pid: number | 'self'): string | undefined {
  try {
    return /\d+/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[0];
  } catch {
    return undefined;
  }
}

/**
 * The numbers of the sockets that a process has open. Empty when it has ended, or may not be seen.
 */
export function socketsOf(pid: number | 'self'): Set<number> {
  const inodes = new Set<number>();
  const directory = `/proc/${pid}/fd`;
  try {
    for (const name of readdirSync(directory)) {
      const inode = /^socket:\[(\d+)\]$/.exec(readLink(join(directory, name)))?.[1];
      if (inode !== undefined) inodes.add(Number(inode));
    }
  } catch {
    // Nothing to be seen.
  }
  return inodes;
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // Closed meanwhile.
    return '';
  }
}

/**
 * The holder of a socket, for a person: `docker-registry (pid 123)`, or the socket's user where
 * other processes cannot be seen.
 */
export function describeHolder({ inode, uid }: ListeningSocket): string {
  const [pid] = processes().filter((one) => socketsOf(one).has(inode));
  return pid === undefined ? `a program of ${userOf(uid)}` : `${nameOf(pid)} (pid ${pid})`;
}

/**
 * The ids of all processes, the latest first: systemd, which also has a service's socket, comes
 * last.
 */
function processes(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .sort((one, other) => other - one);
  } catch {
    return [];
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    // It has just ended.
    return 'a process';
  }
}

function userOf(uid: number): string {
  try {
    const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
    const line = lines.find((one) => one.split(':')[2] === String(uid));
    return line === undefined ? `user id ${uid}` : `user ${line.split(':')[0]} (id ${uid})`;
  } catch {
    return `user id ${uid}`;
  }
}
