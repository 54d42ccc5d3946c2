import { BoundedMap } from '../../base/bounded-map.ts';

interface Suspicion {
  readonly until: number;
  readonly failures: number;
}

/** A first silence may be a pause of the garbage collector; a peer that stays silent is asked ever more rarely. */
const FIRST_MS = 5_000;
const LONGEST_MS = 60_000;
/** Ids of hearsay are among them, which a peer can make up. */
const MAX_SUSPECTS = 10_000;

/**
 * Peers that failed or were silent a moment ago. They are not waited for; one answer clears them. Bounded:
 * the one that was suspected first is forgotten when there are too many.
 */
export class UnansweringPeers {
  readonly #suspicions = new BoundedMap<string, Suspicion>(MAX_SUSPECTS);

  has(peer: string): boolean {
    const suspicion = this.#suspicions.get(peer);
    return suspicion !== undefined && suspicion.until > performance.now();
  }

  failed(peer: string): void {
    if (this.has(peer)) return; // several lookups that fail at once are one failure
    const failures = (this.#suspicions.get(peer)?.failures ?? 0) + 1;
    const ms = Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1));
    this.#suspicions.set(peer, { until: performance.now() + ms, failures });
  }

  answered(peer: string): void {
    this.#suspicions.delete(peer);
  }
}
