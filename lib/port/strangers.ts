import { SpegelError } from '../base/errors.ts';
import { holderOf } from './holder.ts';
import { answering, type ListeningSocket, listeningSockets } from './listening.ts';
import { type LocalNames, localAddresses } from './local-addresses.ts';
import { notedSockets, RUNTIME_DIRECTORY } from './port-notes.ts';
import { socketsOf } from './processes.ts';
import { isHeldBySystemd } from './systemd-socket.ts';

/** Another program at a place where containerd is to ask this host's Spegel. */
export interface Stranger {
  readonly target: string;
  /** For a person: `docker-registry (pid 123)`. */
  readonly holder: string;
}

export interface StrangerOptions {
  /** Processes that are ours although they may not say so: daemons of releases that write nothing. */
  readonly pids?: readonly number[];
  readonly directory?: string;
  readonly names?: LocalNames;
}

/**
 * The targets (URLs) that lead to a port of this host which another program than its Spegel holds.
 * Targets on other hosts, and ports on which nobody listens, are none. Throws SpegelError ERR_PORT
 * when it cannot be seen what listens.
 */
export function strangersOn(
  targets: readonly string[],
  { pids = [], directory = RUNTIME_DIRECTORY, names }: StrangerOptions = {},
): Stranger[] {
  const local = targets.map((target) => ({ target, ips: localAddresses(new URL(target), names) }));
  if (local.every(({ ips }) => ips.length === 0)) return [];
  const sockets = listeningSockets();
  const isNoted = notedSockets(directory);
  const known = pids.map((pid) => socketsOf(pid));
  const isOurs = (socket: ListeningSocket) =>
    isNoted(socket) || known.some((own) => own.has(socket.inode)) || isHeldBySystemd(socket);
  return local.flatMap(({ target, ips }) => {
    const port = portOf(new URL(target));
    const stranger = ips
      .flatMap((ip) => answering(sockets, ip, port))
      .find((socket) => !isOurs(socket));
    return stranger === undefined ? [] : [{ target, holder: holderOf(stranger) }];
  });
}

/** Throws SpegelError ERR_PORT that names the first stranger, and says what to do. */
export function refuseStrangers(strangers: readonly Stranger[]): void {
  const [first] = strangers;
  if (first === undefined) return;
  throw new SpegelError('ERR_PORT', `${describeStranger(first)}; nothing was written`);
}

/** What is wrong, and what to do. */
export function describeStranger({ target, holder }: Stranger): string {
  return `expected the Spegel of this host, or nobody, to listen at ${target}, got ${holder}, and containerd would take images from it; stop it, or give Spegel another port (REGISTRY_ADDR, --registry-addr); a Spegel that does not say in ${RUNTIME_DIRECTORY} which port it holds counts only after a restart as a user who may write there`;
}

function portOf({ protocol, port }: URL): number {
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
}
