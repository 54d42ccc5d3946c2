import * as fs from 'node:fs';
import { join } from 'node:path';
import { isUnspecified } from '../base/address.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import { listeningSockets } from './listening.ts';
import { type PortNote, readNote } from './port-notes.ts';
import { networkOf, socketsOf } from './processes.ts';

export interface PortFileParts {
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
export class PortFile implements Part {
  readonly #parts: PortFileParts;
  readonly #directory: string;
  readonly #host: string;
  #path: string | undefined;

  /** `host`: where the registry listens; empty for all addresses. */
  constructor(
    parts: PortFileParts,
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
      `${networkOf('self')}-${this.#host || 'any'}-${note.port}.json`,
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
