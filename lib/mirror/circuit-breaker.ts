/**
 * How much time peers have cost this host's containerd without giving it anything: answers that never came,
 * bodies that fell silent. A fleet of which much is dead, frozen or hostile must not cost a pull more than a
 * few seconds while the upstream is there to ask; bars alone do not do that, since there may always be another
 * peer that has not failed yet.
 */
export class CircuitBreaker {
  readonly #now: () => number;
  #lostMs = 0;
  /** The span of time that was counted last. */
  #from = Number.NEGATIVE_INFINITY;
  #until = Number.NEGATIVE_INFINITY;
  #countedAt: number;

  /** `now` is a monotonic clock in milliseconds; tests give their own. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#countedAt = now();
  }

  /** The last `ms` were lost. What several layers lose at the same time counts once: containerd waits once. */
  addLoss(ms: number): void {
    this.#forgive();
    const now = this.#now();
    const from = now - ms;
    const overlapMs = Math.max(0, this.#until - Math.max(from, this.#from));
    this.#from = overlapMs > 0 ? Math.min(from, this.#from) : from;
    this.#until = now;
    this.#lostMs = Math.min(this.#lostMs + Math.max(0, ms - overlapMs), MAX_LOST_MS);
  }

  get isOpen(): boolean {
    this.#forgive();
    return this.#lostMs > TOLERATED_MS;
  }

  /** What was lost is forgotten at a steady rate. */
  #forgive(): void {
    const now = this.#now();
    this.#lostMs = Math.max(0, this.#lostMs - (now - this.#countedAt) * FORGIVEN_PER_MS);
    this.#countedAt = now;
  }
}

/** Three holders that fall silent in the middle of a body: as much as a healthy fleet may lose in a bad moment. */
const TOLERATED_MS = 3_000;
/** So that a fleet that was bad for long gets another chance after half a minute. */
const MAX_LOST_MS = 6_000;
const FORGIVEN_PER_MS = 0.1;
