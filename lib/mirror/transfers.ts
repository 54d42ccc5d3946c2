import type { Digest } from '../oci/digest.ts';

/** A body that comes from peers now. */
export interface Transfer {
  readonly digest: Digest;
  /** What was sent of it is not trusted any more: it ends. */
  spoil(reason: string): void;
}

/** The bodies that this host gets from peers now, and how fast each came in its last window. */
export class Transfers {
  readonly #rates = new Map<Transfer, number | undefined>();

  add(body: Transfer): void {
    this.#rates.set(body, undefined);
  }

  delete(body: Transfer): void {
    this.#rates.delete(body);
  }

  /** Ends the bodies of this digest. */
  spoil(digest: Digest, reason: string): void {
    for (const body of [...this.#rates.keys()]) if (body.digest === digest) body.spoil(reason);
  }

  /**
   * What all of them come to, in bytes per second, when `body` comes at `rate`. Those that share a link do not share it
   * evenly: one of three may get a tenth of it. One that was not measured yet counts as this one.
   */
  total(body: Transfer, rate: number): number {
    if (this.#rates.has(body)) this.#rates.set(body, rate);
    let total = 0;
    for (const measured of this.#rates.values()) total += measured ?? rate;
    return Math.max(total, rate);
  }
}
