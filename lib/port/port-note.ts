import * as fs from 'node:fs';
import { join } from 'node:path';
import { isUnspecified } from '../base/address.ts';
import { writeFileAtomically } from '../base/atomic-file.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import { MAX_NOTE_BYTES, MAX_NOTES } from './constants.ts';
import {
  type ListeningSocket,
  listeningSockets,
  networkNamespaceOf,
  socketsOf,
} from './sockets.ts';

/** The directory in which daemons of this host note their ports. systemd makes it, or root. */
export const RUNTIME_DIRECTORY = '/run/spegel';

/** The note of a daemon about itself. */
export interface PortNote {
  readonly pid: number;
  /** Its libp2p peer id; empty while it has none. */
  readonly peerId: string;
  /** Empty: all addresses. */
  readonly host: string;
  readonly port: number;
  /** Numbers of the listening sockets. */
  readonly inodes: readonly number[];
}

/** A note with the user that wrote it. */
type OwnedNote = PortNote & { readonly uid: number };

/** The notes of all daemons. Empty for a directory into which everybody may write. */
function readNotes(directory: string): OwnedNote[] {
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

/** The libp2p peer ids that the daemon in this process has noted. */
export function peerIdsOf(pid: number, directory = RUNTIME_DIRECTORY): Set<string> {
  const own = readNotes(directory).filter((note) => note.pid === pid && note.peerId !== '');
  return new Set(own.map(({ peerId }) => peerId));
}

/** Undefined for a file that is no note, or cannot be read. */
export function readNote(path: string): OwnedNote | undefined {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants;
  let descriptor: number | undefined;
  try {
    // The directory may belong to the service's user: a link is not followed, and a pipe not waited
    // for.
    descriptor = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const stats = fs.fstatSync(descriptor);
    if (!stats.isFile() || stats.size > MAX_NOTE_BYTES) return undefined;
    const note = JSON.parse(fs.readFileSync(descriptor, 'utf8')) as PortNote;
    return isNote(note) ? { ...note, uid: stats.uid } : undefined;
  } catch {
    // Gone, unreadable, or no note.
    return undefined;
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
}

/** Checks the fields: the service's user may have written anything, and root reads it. */
function isNote({ pid, peerId, inodes }: PortNote): boolean {
  return (
    Number.isInteger(pid) &&
    typeof peerId === 'string' &&
    Array.isArray(inodes) &&
    inodes.every(Number.isInteger)
  );
}

/**
 * Tells whether a daemon has noted a socket as its own. The socket's user counts, too: numbers come
 * again after four billion sockets, and nobody can make a socket of another user, or of root, which
 * is systemd.
 */
export function notedSockets(directory = RUNTIME_DIRECTORY): (socket: ListeningSocket) => boolean {
  const notes = readNotes(directory);
  return ({ inode, uid }) =>
    notes.some((note) => note.inodes.includes(inode) && (uid === note.uid || uid === 0));
}

/** Everybody may read a note: `ss` tells the same. */
const NOTE_MODE = 0o644;

export interface PortNoteFileParts {
  readonly log: Logger;
  /** Both are read when the note is written: they are known once the registry listens. */
  readonly registry: { readonly port: number };
  readonly router: { readonly peerId: string | undefined };
}

/**
 * Notes in the runtime directory that this daemon holds the registry's port, for `spegel
 * configuration`, which refuses targets that lead to another program. The socket's number proves
 * the note: the note of a daemon that was killed names no socket of another program.
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

  /** Never rejects: without the note the daemon serves as well. */
  async start(): Promise<void> {
    try {
      await this.#write();
    } catch (error) {
      const fields = { directory: this.#directory, error: messageOf(error) };
      this.#parts.log.debug('which port is ours is not written down', fields);
    }
  }

  async stop(): Promise<void> {
    const path = this.#path;
    this.#path = undefined;
    try {
      // A daemon that was started since may have written its own note already.
      if (path !== undefined && readNote(path)?.pid === process.pid) fs.unlinkSync(path);
    } catch (error) {
      this.#parts.log.debug('the note of our port was left behind', { error: messageOf(error) });
    }
  }

  async #write(): Promise<void> {
    const { registry, router } = this.#parts;
    const note: PortNote = {
      pid: process.pid,
      peerId: router.peerId ?? '',
      host: this.#host,
      port: registry.port,
      inodes: this.#ownInodes(registry.port),
    };
    makeDirectory(this.#directory);
    // The next start writes over it, so that killed daemons do not fill the directory.
    const path = join(
      this.#directory,
      `${networkNamespaceOf('self')}-${this.#host || 'any'}-${note.port}.json`,
    );
    await writeFileAtomically(path, `${JSON.stringify(note)}\n`, NOTE_MODE);
    this.#path = path;
  }

  /** The sockets of this process that listen there, also those that systemd made. */
  #ownInodes(port: number): number[] {
    const own = socketsOf('self');
    const isAny = this.#host === '' || isUnspecified(this.#host);
    return listeningSockets()
      .filter((socket) => socket.port === port && own.has(socket.inode))
      .filter(({ ip }) => (isAny ? isUnspecified(ip) : ip === this.#host))
      .map(({ inode }) => inode);
  }
}

/** Makes the directory, which everybody may read. */
function makeDirectory(path: string): void {
  try {
    fs.mkdirSync(path);
    fs.chmodSync(path, 0o755);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}
