/**
 * Whether this host waits for others that are only getting a content themselves. A wait that was in vain switches it
 * off for a while: a pull of 60 layers must not pay for it 60 times.
 */
export class InflightWaits {
  readonly #now: () => number;
  #offUntil = 0;

  /** `now` is a monotonic clock in milliseconds; tests give their own. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get isOff(): boolean {
    return this.#now() < this.#offUntil;
  }

  switchOff(): void {
    this.#offUntil = this.#now() + OFF_MS;
  }
}

const OFF_MS = 60_000;
