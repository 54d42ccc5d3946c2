/** `--min-source-rate`: bytes a second. */
const MIN_RATE = 1_000_000;
/** Over so many reports, one a second. */
const WINDOW = 5;
/** A source that has so much more than its child is itself what is slow. */
const BACKLOG = 1024 * 1024;
/** Seconds that one waits longer for each host between its source and the leader. */
const DEPTH_S = 0.15;

/** Who is slower than `--min-source-rate`, by a look at each transfer once a second. */
export class Pace {
  readonly #seen: Float64Array;
  readonly #looks: Int32Array;
  readonly #slow: Int32Array;

  constructor(cells: number) {
    this.#seen = new Float64Array(cells * WINDOW);
    this.#looks = new Int32Array(cells);
    this.#slow = new Int32Array(cells);
  }

  restart(cell: number): void {
    this.#looks[cell] = 0;
    this.#slow[cell] = 0;
  }

  /**
   * Whether the source is to be left. One that has nothing more to give waits itself: those nearer
   * to the slow one leave it first, so that a whole chain does not fall apart; `depth` 1 follows a
   * leader or a whole one.
   */
  isSlow(cell: number, have: number, ahead: number, depth: number): boolean {
    const looks = this.#looks[cell] as number;
    const slot = cell * WINDOW + (looks % WINDOW);
    const before = this.#seen[slot] as number;
    this.#seen[slot] = have;
    this.#looks[cell] = looks + 1;
    if (looks < WINDOW) return false;
    if (have - before >= MIN_RATE * WINDOW) {
      this.#slow[cell] = 0;
      return false;
    }
    const slow = (this.#slow[cell] as number) + 1;
    this.#slow[cell] = slow;
    return ahead > BACKLOG || slow > 1 + (depth - 1) * DEPTH_S;
  }
}
