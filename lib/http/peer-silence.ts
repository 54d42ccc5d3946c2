import { fairTimeout } from '../base/fair-timeout.ts';
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
  /** Undefined: no timer runs. It outlasts a wait, since most are over in a moment. */
  #stopTimer: (() => void) | undefined;
  #since = 0;
  /** When a peer that is still silent is judged, on the same clock. */
  #judgedAt = 0;
  /** Which wait this is; undefined: nothing is waited for. */
  #current: object | undefined;

  constructor(parts: PeerSilenceParts) {
    this.#parts = parts;
  }

  /** From now on bytes are due. */
  begin(): void {
    this.#current = {};
    this.#since = performance.now();
    this.#judgeIn(BODY_SILENCE_MS);
  }

  /** Bytes came, or none are due any more. */
  end(): void {
    this.#current = undefined;
  }

  close(): void {
    this.end();
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  #judgeIn(ms: number): void {
    this.#judgedAt = performance.now() + ms;
    this.#stopTimer ??= fairTimeout(ms, () => this.#onTimer());
  }

  #onTimer(): void {
    this.#stopTimer = undefined;
    const wait = this.#current;
    if (wait === undefined) return;
    const leftMs = this.#judgedAt - performance.now();
    if (leftMs > 0) this.#judgeIn(leftMs);
    else void this.#judge(wait);
  }

  async #judge(wait: object): Promise<void> {
    const silentMs = () => performance.now() - this.#since;
    const reason = `no byte within ${Math.round(silentMs())} ms`;
    const verdict = await this.#parts.judge(silentMs());
    // Bytes may have come while the peer was asked.
    if (wait !== this.#current) return;
    if (typeof verdict === 'string') this.#parts.fail(verdict, reason);
    else this.#judgeIn(Math.min(BODY_SILENCE_MS, Math.max(1, verdict - silentMs())));
  }
}
