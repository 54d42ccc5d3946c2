import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

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
