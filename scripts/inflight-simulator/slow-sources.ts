import { REGISTRY_OPTIONS } from '../../cmd/options/registry-options.ts';
import { parseRate } from '../../cmd/options/values.ts';
import { MIN_SOURCE_RATE_WINDOW_MS, STAGGER_MS } from '../../lib/mirror/constants.ts';
import { REPORT_MS } from '../../lib/tracker/constants.ts';

/** The default of `--min-source-rate`, in bytes per second. */
const MIN_RATE = parseRate(REGISTRY_OPTIONS.minSourceRate.fallback ?? '0');
/** One look a report: the product's window, in looks. */
const WINDOW = MIN_SOURCE_RATE_WINDOW_MS / REPORT_MS;
/** A source that has this many bytes more than its child is slow itself. */
const BACKLOG_BYTES = 1024 * 1024;
/** How many looks a host waits longer for each host between its source and the leader. */
const STAGGER_LOOKS = STAGGER_MS / REPORT_MS;

/** Which sources are slower than `--min-source-rate`, by a look at each transfer once a report. */
export class SlowSources {
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
   * Whether the source is to be left. A source that has nothing more to give waits itself: hosts
   * nearer to the slow one leave it first, so that the whole chain does not fall apart. `depth` is
   * 1 for a host that follows a leader or a source that has the whole content.
   */
  isSlow(cell: number, have: number, ahead: number, depth: number): boolean {
    const looks = this.#looks[cell] as number;
    const slot = cell * WINDOW + (looks % WINDOW);
    const before = this.#seen[slot] as number;
    this.#seen[slot] = have;
    this.#looks[cell] = looks + 1;
    if (looks < WINDOW) return false;
    if (have - before >= (MIN_RATE * MIN_SOURCE_RATE_WINDOW_MS) / 1_000) {
      this.#slow[cell] = 0;
      return false;
    }
    const slow = (this.#slow[cell] as number) + 1;
    this.#slow[cell] = slow;
    return ahead > BACKLOG_BYTES || slow > 1 + (depth - 1) * STAGGER_LOOKS;
  }
}
