import { formatHostPort, portOf } from '../base/address.ts';
import { SpegelError } from '../base/errors.ts';
import { type LocalNames, localAddresses } from './local-addresses.ts';
import { notedSockets, RUNTIME_DIRECTORY } from './port-note.ts';
import {
  describeHolder,
  type ListeningSocket,
  listeningSockets,
  socketsAnswering,
  socketsOf,
} from './sockets.ts';
import { isSystemdSocket, type SystemdSocket, systemdSocket } from './systemd-socket.ts';

/**
 * A target at which containerd is to ask this host's Spegel, and another program answers or could.
 */
export interface PortConflict {
  readonly target: string;
  /** True: another program listens there. False: one could. */
  readonly isThere: boolean;
  /** What is wrong, and what to do. */
  readonly message: string;
}

export interface PortConflictOptions {
  /** Processes that are ours although they write no note: daemons of former releases. */
  readonly pids?: readonly number[];
  readonly directory?: string;
  readonly names?: LocalNames;
  /** What systemd holds; tests replace it. */
  readonly systemd?: () => SystemdSocket;
}

/**
 * The targets (URLs) that lead to a port of this host which is not its Spegel's. Another program
 * listens there; or nobody does, although Spegel listens elsewhere or systemd is to hold the port;
 * or the daemon holds the port only while it lives, since systemd holds another one. Targets on
 * other hosts never conflict. Throws SpegelError ERR_PORT when the listening sockets cannot be
 * read.
 */
export function portConflicts(
  targets: readonly string[],
  {
    pids = [],
    directory = RUNTIME_DIRECTORY,
    names,
    systemd = systemdSocket,
  }: PortConflictOptions = {},
): PortConflict[] {
  const local = targets.map((target) => ({ target, ips: localAddresses(new URL(target), names) }));
  if (local.every(({ ips }) => ips.length === 0)) return [];
  const sockets = listeningSockets();
  const isNoted = notedSockets(directory);
  const known = pids.map((pid) => socketsOf(pid));
  const held = systemd();
  const isOurs = (socket: ListeningSocket) =>
    isNoted(socket) ||
    known.some((own) => own.has(socket.inode)) ||
    (socket.uid === 0 && isSystemdSocket(held, socket));
  const mayBeNobody = !held.isInstalled && !sockets.some(isOurs);
  const findingOf = (
    target: string,
    ips: readonly string[],
  ): Omit<PortConflict, 'target'> | undefined => {
    const port = portOf(new URL(target));
    for (const ip of ips) {
      const answers = socketsAnswering(sockets, ip, port);
      const stranger = answers.find((socket) => !isOurs(socket));
      if (stranger !== undefined)
        return { isThere: true, message: strangerText(target, describeHolder(stranger)) };
      if (answers.length === 0 && !mayBeNobody)
        return { isThere: false, message: nobodyText(target, ip, port) };
      const isSafe =
        held.listens.length === 0 || answers.every((socket) => isSystemdSocket(held, socket));
      if (!isSafe) return { isThere: false, message: unheldText(target, held.listens) };
    }
    return undefined;
  };
  return local.flatMap(({ target, ips }) => {
    const finding = findingOf(target, ips);
    return finding === undefined ? [] : [{ target, ...finding }];
  });
}

/** Throws SpegelError ERR_PORT for the first conflict, with what to do. */
export function refusePortConflicts(conflicts: readonly PortConflict[]): void {
  const [first] = conflicts;
  if (first === undefined) return;
  throw new SpegelError('ERR_PORT', `${first.message}; nothing was written`);
}

function strangerText(target: string, holder: string): string {
  return `expected the Spegel of this host, or nobody, to listen at ${target}, got ${holder}, and containerd would take images from it; stop it, or give Spegel another port (REGISTRY_ADDR, --registry-addr); a Spegel that does not say in ${RUNTIME_DIRECTORY} which port it holds counts only after a restart as a user who may write there`;
}

function nobodyText(target: string, ip: string, port: number): string {
  const at = formatHostPort(ip, port);
  return `expected the Spegel of this host to hold ${at}, where ${target} leads, got nobody: any user could listen there, and containerd would take images from it; start spegel.service, or name the address that Spegel has (MIRROR_TARGETS, --mirror-targets, or REGISTRY_ADDR, --registry-addr)`;
}

function unheldText(target: string, listens: readonly string[]): string {
  return `expected systemd to hold the port of ${target} for Spegel, got ${listens.join(', ')}: any user could listen there while the daemon restarts; run 'spegel install', which has systemd hold what REGISTRY_ADDR says`;
}
