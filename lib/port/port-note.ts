import * as fs from 'node:fs';
import { join } from 'node:path';
import { isUnspecified } from '../base/address.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import { type ListeningSocket, listeningSockets } from './listening.ts';
import { networkNamespaceOf, socketsOf } from './processes.ts';

/** Where daemons of this host say which port they hold; systemd makes it, or root. */
export const RUNTIME_DIRECTORY = '/run/spegel';

/** What a daemon says of itself. */
export interface PortNote {
  readonly pid: number;
  /** Of libp2p. */
  readonly peerId: string;
  /** Empty: all addresses. */
  readonly host: string;
  readonly port: number;
  /** Numbers of the listening sockets. */
  readonly inodes: readonly number[];
}

/** More daemons than one host has, and longer than any note. */
const MAX_NOTES = 1_000;
const MAX_BYTES = 4_096;

/** Notes, each with the user that wrote it. */
type Signed = PortNote & { readonly uid: number };

/** What daemons have said; nothing in a directory into which everybody may write. */
function readNotes(directory: string): Signed[] {
  try {
    const { mode } = fs.statSync(directory);
    if ((mode & 0o022) !== 0) return [];
    const names = fs.readdirSync(directory).filter((name) => name.endsWith('.json'));
    return names.slice(0, MAX_NOTES).flatMap((name) => readNote(join(directory, name)) ?? []);
  } catch {
    // No daemon has ever run, or we may not look.
    return [];
  }
}

/** libp2p ids of the daemon that is this process, as it says itself. */
export function peerIdsOf(pid: number, directory = RUNTIME_DIRECTORY): Set<string> {
  const own = readNotes(directory).filter((note) => note.pid === pid && note.peerId !== '');
  return new Set(own.map(({ peerId }) => peerId));
}

/** Undefined for what is no note, or cannot be read. */
export function readNote(path: string): Signed | undefined {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants;
  let descriptor: number | undefined;
  try {
    // The directory may belong to the service's user: no link to elsewhere, and no pipe to wait for.
    descriptor = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const stats = fs.fstatSync(descriptor);
    if (!stats.isFile() || stats.size > MAX_BYTES) return undefined;
    const note = JSON.parse(fs.readFileSync(descriptor, 'utf8')) as PortNote;
    return isNote(note) ? { ...note, uid: stats.uid } : undefined;
  } catch {
    // Gone, unreadable, or no note.
    return undefined;
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
}

/** The service's user may have written anything, and root reads it. */
function isNote({ pid, peerId, inodes }: PortNote): boolean {
  return (
    Number.isInteger(pid) &&
    typeof peerId === 'string' &&
    Array.isArray(inodes) &&
    inodes.every(Number.isInteger)
  );
}

/**
 * Tells sockets of daemons that have said so. The socket's user counts, too: numbers come again after
 * four billion sockets, and nobody makes one of another user, or of root, who is systemd.
 */
export function notedSockets(directory = RUNTIME_DIRECTORY): (socket: ListeningSocket) => boolean {
  const notes = readNotes(directory);
  return ({ inode, uid }) =>
    notes.some((note) => note.inodes.includes(inode) && (uid === note.uid || uid === 0));
}

export interface PortNoteFileParts {
  readonly log: Logger;
  /** Read when it is written: both are known once the registry listens. */
  readonly registry: { readonly port: number };
  readonly router: { readonly peerId: string | undefined };
}

/**
 * Says in the runtime directory that the registry's port is held by this daemon, for `spegel
 * configuration`, which lets containerd ask nobody else there. The socket's number proves it: what
 * a daemon that was killed leaves behind names no socket of anybody else's.
 */
export class PortNoteFile implements Part {
  readonly #parts: PortNoteFileParts;
  readonly #directory: string;
  readonly #host: string;
  #path: string | undefined;

  /** `host`: where the registry listens; empty for all addresses. */
  constructor(
    parts: PortNoteFileParts,
    { directory, host }: { readonly directory: string; readonly host: string },
  ) {
    this.#parts = parts;
    this.#directory = directory;
    this.#host = host;
  }

  /** Never rejects: without the file a daemon serves as well. */
  async start(): Promise<void> {
    try {
      this.#write();
    } catch (error) {
      const fields = { directory: this.#directory, error: messageOf(error) };
      this.#parts.log.debug('which port is ours is not written down', fields);
    }
  }

  async stop(): Promise<void> {
    const path = this.#path;
    this.#path = undefined;
    try {
      // Another life of the daemon may have written its own already.
      if (path !== undefined && readNote(path)?.pid === process.pid) fs.unlinkSync(path);
    } catch (error) {
      this.#parts.log.debug('the note of our port was left behind', { error: messageOf(error) });
    }
  }

  #write(): void {
    const { registry, router } = this.#parts;
    const note: PortNote = {
      pid: process.pid,
      peerId: router.peerId ?? '',
      host: this.#host,
      port: registry.port,
      inodes: this.#ownInodes(registry.port),
    };
    makeDirectory(this.#directory);
    // Its next life writes over it, so killed ones do not fill the directory.
    const path = join(
      this.#directory,
      `${networkNamespaceOf('self')}-${this.#host || 'any'}-${note.port}.json`,
    );
    const next = `${path}.${process.pid}`;
    fs.rmSync(next, { force: true });
    fs.writeFileSync(next, `${JSON.stringify(note)}\n`, { flag: 'wx', mode: 0o644 });
    fs.renameSync(next, path);
    this.#path = path;
  }

  /** Of the sockets that this process has, also those that systemd made. */
  #ownInodes(port: number): number[] {
    const own = socketsOf('self');
    const isAny = this.#host === '' || isUnspecified(this.#host);
    return listeningSockets()
      .filter((socket) => socket.port === port && own.has(socket.inode))
      .filter(({ ip }) => (isAny ? isUnspecified(ip) : ip === this.#host))
      .map(({ inode }) => inode);
  }
}

/** Everybody may read it: what is in it, `ss` tells too. */
function makeDirectory(path: string): void {
  try {
    fs.mkdirSync(path);
    fs.chmodSync(path, 0o755);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}
