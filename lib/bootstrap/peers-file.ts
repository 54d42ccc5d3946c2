import { stat } from 'node:fs/promises';
import { delay, untilAborted } from '../base/abortable.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { readSmallFile } from '../base/read-small-file.ts';
import {
  MAX_LOGGED_LINES,
  MAX_PEERS_FILE_BYTES,
  MAX_PEERS_FILE_ENTRIES,
  PEERS_FILE_POLL_MS,
} from './constants.ts';
import { type BootstrapPeer, parseBootstrapPeer } from './peer.ts';

/**
 * The list of `--static-bootstrap-peers-file`: one entry per line; empty lines and comments after
 * `#` are skipped. While the file cannot be read, its last content stays in use, which is logged
 * once. Wrong lines are logged once and skipped.
 */
export class PeersFile {
  readonly #log: Logger;
  readonly #path: string;
  /** The last content; undefined before the first. */
  #text: string | undefined;
  #peers: readonly BootstrapPeer[] = [];
  /** Why the last read failed; undefined if it did not. */
  #problem: string | undefined;
  #reading: Promise<void> | undefined;

  constructor({ log }: { readonly log: Logger }, path: string) {
    this.#log = log;
    this.#path = path;
  }

  /**
   * Reads the file and returns its entries. If the disk hangs, returns the last known entries when
   * the signal is aborted. Never rejects.
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
      await delay(PEERS_FILE_POLL_MS, signal).catch(() => {});
    }
  }

  /**
   * A text that changes with the file. It changes with owner and mode too, which decide whether the
   * file can be read.
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
   * One read at a time: on a disk that hangs, each read holds a thread of the pool. Never rejects.
   */
  #read(): Promise<void> {
    this.#reading ??= readSmallFile(this.#path, MAX_PEERS_FILE_BYTES)
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
    for (const told of wrong.slice(0, MAX_LOGGED_LINES)) {
      this.#log.error('line of the peers file is skipped', { file, ...told });
    }
    if (wrong.length > MAX_LOGGED_LINES) {
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

/** Parses a peers file. A wrong line does not affect the others. */
export function parsePeersFile(text: string): ParsedPeersFile {
  const peers: BootstrapPeer[] = [];
  const wrong: { line: number; error: string }[] = [];
  // Some editors write a byte order mark, which is not part of the first entry.
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  for (const [index, line] of lines.entries()) {
    const entry = line.replace(/#.*$/, '').trim();
    if (entry === '') continue;
    if (peers.length === MAX_PEERS_FILE_ENTRIES) {
      wrong.push({
        line: index + 1,
        error: `expected at most ${MAX_PEERS_FILE_ENTRIES} peers, got more`,
      });
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
