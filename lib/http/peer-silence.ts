import { BODY_SILENCE_MS } from './constants.ts';
import type { FailureKind } from './peer-failure.ts';
import type { ResponseHead } from './response-head.ts';

/** Judges a peer that is silent or ends early, by more than its bytes tell. */
export interface Watch {
  /**
   * Called when the peer has answered, but has sent nothing for `silentMs`. Resolves to the failure
   * for which it is given up, or to the silence in milliseconds after which it is judged again.
   * Never rejects.
   */
  onSilence(head: ResponseHead, silentMs: number): Promise<FailureKind | number>;
  /** The failure of a peer that ends its body early (`short`) or is next to silent (`silent`). */
  failureOf(head: ResponseHead, kind: 'short' | 'silent'): FailureKind;
}

export interface PeerSilenceParts {
  /**
   * Resolves to the failure for which the peer is given up, or to the silence in milliseconds after
   * which it is judged again. Never rejects.
   */
  judge(silentMs: number): Promise<FailureKind | number>;
  fail(kind: FailureKind, reason: string): void;
}

/** Finds out that a peer whose bytes are waited for sends none. */
export class PeerSilence {
  readonly #parts: PeerSilenceParts;
  readonly #timer: NodeJS.Timeout;
  /** Fires when a peer that was silent and is still waited for is judged again. */
  #later: NodeJS.Timeout | undefined;
  #since = performance.now();
  /** Which wait this is; undefined: nothing is waited for. */
  #current: object | undefined;

  constructor(parts: PeerSilenceParts) {
    this.#parts = parts;
    this.#timer = setTimeout(() => this.#onSilence(), BODY_SILENCE_MS);
  }

  /** From now on bytes are due. */
  begin(): void {
    this.#current = {};
    this.#since = performance.now();
    // A timer that is left from before belongs to another silence.
    clearTimeout(this.#later);
    this.#timer.refresh();
  }

  /** Bytes came, or none are due any more. */
  end(): void {
    this.#current = undefined;
  }

  close(): void {
    this.end();
    clearTimeout(this.#timer);
    clearTimeout(this.#later);
  }

  /**
   * The timer may be late because this process was busy. Node reads bytes that came meanwhile
   * between timers and immediates, so the peer is judged in an immediate.
   */
  #onSilence(wait = this.#current): void {
    if (wait === undefined || wait !== this.#current) return;
    setImmediate(() => {
      if (wait === this.#current) void this.#judge(wait);
    });
  }

  async #judge(wait: object): Promise<void> {
    const silentMs = () => performance.now() - this.#since;
    const reason = `no byte within ${Math.round(silentMs())} ms`;
    const verdict = await this.#parts.judge(silentMs());
    // Bytes may have come while the peer was asked.
    if (wait !== this.#current) return;
    if (typeof verdict === 'string') {
      this.#parts.fail(verdict, reason);
      return;
    }
    const laterMs = Math.min(BODY_SILENCE_MS, Math.max(1, verdict - silentMs()));
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.#onSilence(wait), laterMs);
  }
}
