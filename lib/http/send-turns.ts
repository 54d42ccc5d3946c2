import { SEND_TURN_MS } from './constants.ts';

/** Sends until `stopAt`, a time of `performance.now()`, at most. */
export type SendWork<Sent> = (stopAt: number) => Sent;

/**
 * The bodies that the kernel sends take turns, first come first served. All of them together have
 * SEND_TURN_MS; then all else of this process goes on, for which the main thread stood still.
 */
export class SendTurns {
  readonly #waiting: (() => void)[] = [];
  #stopAt = 0;

  /** Resolves with what `work`, which must not throw, returns. */
  run<Sent>(work: SendWork<Sent>): Promise<Sent> {
    return new Promise((resolve) => {
      this.#waiting.push(() => resolve(work(this.#stopAt)));
      if (this.#waiting.length === 1) setImmediate(this.#takeTurns);
    });
  }

  readonly #takeTurns = (): void => {
    this.#stopAt = performance.now() + SEND_TURN_MS;
    do {
      this.#waiting[0]?.();
      this.#waiting.shift();
    } while (this.#waiting.length > 0 && performance.now() < this.#stopAt);
    if (this.#waiting.length > 0) setImmediate(this.#takeTurns);
  };
}
