import { FORGIVEN_MS_PER_MS, MAX_LOSS_MS, TOLERATED_LOSS_MS } from './constants.ts';

/**
 * Opens when peers have cost this host's containerd too much time without giving it anything:
 * answers that never came, bodies that fell silent. While it is open and the upstream answers, no
 * peer is asked. Peer health alone does not bound what a fleet costs that is dead, frozen or
 * hostile, because there may always be another peer that has not failed yet.
 */
export class CircuitBreaker {
  readonly #now: () => number;
  #lossMs = 0;
  /** The span of time that was counted last. */
  #from = Number.NEGATIVE_INFINITY;
  #until = Number.NEGATIVE_INFINITY;
  #forgivenAt: number;

  /** `now` is a monotonic clock in milliseconds; tests give their own. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#forgivenAt = now();
  }

  /**
   * The last `ms` were lost. What several layers lose at once counts once: containerd waits once.
   */
  addLoss(ms: number): void {
    this.#forgive();
    const now = this.#now();
    const from = now - ms;
    const overlapMs = Math.max(0, this.#until - Math.max(from, this.#from));
    this.#from = overlapMs > 0 ? Math.min(from, this.#from) : from;
    this.#until = now;
    this.#lossMs = Math.min(this.#lossMs + Math.max(0, ms - overlapMs), MAX_LOSS_MS);
  }

  get isOpen(): boolean {
    this.#forgive();
    return this.#lossMs > TOLERATED_LOSS_MS;
  }

  /** Losses are forgiven at a steady rate. */
  #forgive(): void {
    const now = this.#now();
    this.#lossMs = Math.max(0, this.#lossMs - (now - this.#forgivenAt) * FORGIVEN_MS_PER_MS);
    this.#forgivenAt = now;
  }
}
