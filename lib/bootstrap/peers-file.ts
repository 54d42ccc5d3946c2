import { stat } from 'node:fs/promises';
import { delay, untilAborted } from '../base/abortable.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { readSmallFile } from '../base/read-small-file.ts';
import { type BootstrapPeer, parseBootstrapPeer } from './peer.ts';

const MAX_BYTES = 1024 * 1024;
/** More than a join ever dials; the rest of the file is left out. */
const MAX_ENTRIES = 1_024;
/** A file that is no list at all must not fill the log. */
const MAX_TOLD = 10;
/** stat and not inotify: that is blind to NFS and to a file that an editor renamed into place. */
const POLL_MS = 1_000;

/**
 * The list of `--static-bootstrap-peers-file`: one entry a line, empty lines and comments from `#`
 * on. While it cannot be read its last content stays in use, and the log says so once. Wrong lines
 * are told once and skipped.
 */
export class PeersFile {
  readonly #log: Logger;
  readonly #path: string;
  /** Undefined until it was read once. */
  #text: string | undefined;
  #peers: readonly BootstrapPeer[] = [];
  /** Why it could not be read the last time. */
  #problem: string | undefined;
  #reading: Promise<void> | undefined;

  constructor({ log }: { readonly log: Logger }, path: string) {
    this.#log = log;
    this.#path = path;
  }

  /**
   * The entries, read anew. Never rejects; on a disk that hangs, the last ones when the signal is
   * aborted.
   */
  async peers(signal: AbortSignal): Promise<readonly BootstrapPeer[]> {
    await untilAborted(this.#read(), signal).catch(() => {});
    return this.#peers;
  }

  /** Calls `changed` within two seconds of a change, until the signal is aborted. Never rejects. */
  async watch(signal: AbortSignal, changed: () => void): Promise<void> {
    let seen: string | undefined;
    while (!signal.aborted) {
      try {
        const now = await untilAborted(this.#state(), signal);
        const isNew = seen !== undefined && now !== seen;
        seen = now;
        if (isNew) {
          await untilAborted(this.#read(), signal);
          changed();
        }
      } catch (error) {
        const fields = { file: this.#path, error: messageOf(error) };
        if (!signal.aborted) this.#log.error('watching the peers file failed, going on', fields);
      }
      await delay(POLL_MS, signal).catch(() => {});
    }
  }

  /**
   * What differs when the file does: content, owner and mode too, which may decide whether it can
   * be read.
   */
  async #state(): Promise<string> {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(this.#path, { bigint: true });
      return [dev, ino, size, mtimeNs, ctimeNs].join();
    } catch (error) {
      return messageOf(error);
    }
  }

  /**
   * One read at a time: on a disk that hangs each would hold a thread of the pool. Never rejects.
   */
  #read(): Promise<void> {
    this.#reading ??= readSmallFile(this.#path, MAX_BYTES)
      .then(
        (text) => this.#take(text),
        (error) => this.#failed(messageOf(error)),
      )
      .finally(() => {
        this.#reading = undefined;
      });
    return this.#reading;
  }

  #failed(problem: string): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    const file = this.#path;
    this.#log.error('--static-bootstrap-peers-file: expected a readable file of at most 1 MiB', {
      file,
      error: problem,
      peersKept: this.#peers.length,
    });
  }

  #take(text: string): void {
    const isBack = this.#problem !== undefined;
    this.#problem = undefined;
    if (isBack || (this.#text !== undefined && text !== this.#text)) {
      this.#log.info('peers file is read again', { file: this.#path });
    }
    if (text === this.#text) return;
    this.#text = text;
    this.#peers = this.#parse(text);
  }

  #parse(text: string): readonly BootstrapPeer[] {
    const { peers, wrong } = parsePeersFile(text);
    const file = this.#path;
    for (const told of wrong.slice(0, MAX_TOLD)) {
      this.#log.error('line of the peers file is skipped', { file, ...told });
    }
    if (wrong.length > MAX_TOLD) {
      this.#log.error('more lines of the peers file are skipped', { file, lines: wrong.length });
    }
    return peers;
  }
}

export interface ParsedPeersFile {
  readonly peers: readonly BootstrapPeer[];
  /** Lines that name no peer, counted from 1. */
  readonly wrong: readonly { readonly line: number; readonly error: string }[];
}

/** What a file of peers says; a line that is wrong takes nothing from the others. */
export function parsePeersFile(text: string): ParsedPeersFile {
  const peers: BootstrapPeer[] = [];
  const wrong: { line: number; error: string }[] = [];
  // A byte order mark, as some editors write it, is no part of the first entry.
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  for (const [index, line] of lines.entries()) {
    const entry = line.replace(/#.*$/, '').trim();
    if (entry === '') continue;
    if (peers.length === MAX_ENTRIES) {
      wrong.push({ line: index + 1, error: `expected at most ${MAX_ENTRIES} peers, got more` });
      break;
    }
    try {
      peers.push(parseBootstrapPeer(entry));
    } catch (error) {
      wrong.push({ line: index + 1, error: messageOf(error) });
    }
  }
  return { peers, wrong };
}
