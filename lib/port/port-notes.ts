import * as fs from 'node:fs';
import { join } from 'node:path';
import type { ListeningSocket } from './listening.ts';

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
