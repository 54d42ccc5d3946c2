import { delay } from '../../base/abortable.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Digest } from '../../oci/digest.ts';
import {
  DISCARD_GIVE_UP_MS,
  MAX_DISCARD_PAUSE_MS,
  MAX_DISCARDS,
  MIN_DISCARD_PAUSE_MS,
} from './constants.ts';

export interface DiscardQueueParts {
  /** Discards all ingests of a digest. Rejects while containerd writes to one of them. */
  readonly discard: (digest: Digest, signal: AbortSignal) => Promise<void>;
  /**
   * True while containerd writes to an ingest of the digest, as far as its files tell. Never
   * rejects.
   */
  readonly isWritten: (digest: Digest) => Promise<boolean>;
  readonly log: Logger;
}

/**
 * Discards ingests with wrong bytes, each as soon as nothing writes to it. Tries again until it
 * succeeds, for an hour at most.
 */
export class DiscardQueue {
  readonly #parts: DiscardQueueParts;
  readonly #all = new Map<Digest, Discard>();
  readonly #stopping = new AbortController();

  constructor(parts: DiscardQueueParts) {
    this.#parts = parts;
  }

  /**
   * Begins to discard the ingests of a digest. If the digest is in the queue already, tries at
   * once.
   */
  add(digest: Digest): void {
    const known = this.#all.get(digest);
    known?.retrySoon();
    if (known?.isDone === false || this.#isClosed) return;
    const discard = new Discard(this.#parts, digest, this.#stopping.signal);
    this.#all.set(digest, discard);
    void discard.ended.finally(() => {
      if (this.#all.get(digest) === discard) this.#all.delete(digest);
    });
  }

  /** True while the ingests of the digest are not discarded. */
  has(digest: Digest): boolean {
    return this.#all.get(digest)?.isDone === false;
  }

  /**
   * Tries once, now. Resolves when the ingests are discarded or something writes to them. A pull
   * that waited for the end of its own writer would wait for ever. Never rejects.
   */
  async tryNow(digest: Digest): Promise<void> {
    await this.#all.get(digest)?.try();
  }

  get #isClosed(): boolean {
    return this.#stopping.signal.aborted || this.#all.size >= MAX_DISCARDS;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the store was stopped'));
    await Promise.all([...this.#all.values()].map(({ ended }) => ended));
  }
}

class Discard {
  readonly ended: Promise<void>;
  readonly #parts: DiscardQueueParts;
  readonly #digest: Digest;
  readonly #signal: AbortSignal;
  #pausing = new AbortController();
  #trying: Promise<void> | undefined;
  #isDone = false;
  #pauseMs = MIN_DISCARD_PAUSE_MS;

  constructor(parts: DiscardQueueParts, digest: Digest, signal: AbortSignal) {
    this.#parts = parts;
    this.#digest = digest;
    this.#signal = signal;
    this.ended = this.#run();
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /** Ends the pause before the next attempt, and begins again with short pauses. */
  retrySoon(): void {
    this.#pauseMs = MIN_DISCARD_PAUSE_MS;
    this.#pausing.abort();
  }

  /** Tries once. Calls during an attempt share it. Never rejects. */
  try(): Promise<void> {
    this.#trying ??= this.#try().finally(() => {
      this.#trying = undefined;
    });
    return this.#trying;
  }

  async #run(): Promise<void> {
    const deadline = performance.now() + DISCARD_GIVE_UP_MS;
    for (;;) {
      await this.try();
      if (this.#isDone || this.#signal.aborted) return;
      if (performance.now() > deadline) break;
      this.#pausing = new AbortController();
      const ending = AbortSignal.any([this.#signal, this.#pausing.signal]);
      await delay(this.#pauseMs, ending).catch(() => {});
      if (this.#isDone) return;
    }
    this.#parts.log.error('a download with wrong bytes stays in containerd', {
      digest: this.#digest,
    });
  }

  async #try(): Promise<void> {
    // An attempt locks the ingest for up to 0.7 s, while containerd looks for a writer. A pull
    // could not begin meanwhile.
    if (await this.#parts.isWritten(this.#digest)) {
      this.#pauseMs = MIN_DISCARD_PAUSE_MS;
      return;
    }
    try {
      await this.#parts.discard(this.#digest, this.#signal);
      this.#isDone = true;
      this.retrySoon();
    } catch (error) {
      this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_DISCARD_PAUSE_MS);
      const fields = { digest: this.#digest, error: messageOf(error) };
      if (!this.#signal.aborted) this.#parts.log.debug('cannot discard an ingest yet', fields);
    }
  }
}
