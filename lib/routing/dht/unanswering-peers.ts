import { BoundedMap } from '../../base/bounded-map.ts';
import { MAX_UNANSWERING, UNANSWERING_MS } from './constants.ts';

interface Failures {
  readonly count: number;
  /** When the peer may be waited for again, on the monotonic clock in ms. */
  readonly until: number;
}

/**
 * Peers that failed or were silent a moment ago, by peer id. A lookup does not wait for them. One
 * answer removes a peer; each further failure doubles its time. At the bound the peer that failed
 * longest ago is dropped.
 */
export class UnansweringPeers {
  readonly #failures = new BoundedMap<string, Failures>(MAX_UNANSWERING);

  has(peerId: string): boolean {
    const failures = this.#failures.get(peerId);
    return failures !== undefined && failures.until > performance.now();
  }

  failed(peerId: string): void {
    // Several lookups that fail at the same time are one failure.
    if (this.has(peerId)) return;
    const count = (this.#failures.get(peerId)?.count ?? 0) + 1;
    const ms = Math.min(UNANSWERING_MS.max, UNANSWERING_MS.first * 2 ** (count - 1));
    this.#failures.set(peerId, { until: performance.now() + ms, count });
  }

  answered(peerId: string): void {
    this.#failures.delete(peerId);
  }
}
