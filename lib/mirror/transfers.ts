/** The bodies that this host gets from peers now, and how fast each came in its last window. */
export class Transfers {
  readonly #rates = new Map<object, number | undefined>();

  add(body: object): void {
    this.#rates.set(body, undefined);
  }

  delete(body: object): void {
    this.#rates.delete(body);
  }

  /**
   * What all of them come to, in bytes per second, when `body` comes at `rate`. Those that share a link do not share it
   * evenly: one of three may get a tenth of it. One that was not measured yet counts as this one.
   */
  total(body: object, rate: number): number {
    if (this.#rates.has(body)) this.#rates.set(body, rate);
    let total = 0;
    for (const measured of this.#rates.values()) total += measured ?? rate;
    return Math.max(total, rate);
  }
}
