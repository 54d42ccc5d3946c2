/**
 * Shares links among flows, a step at a time. Every flow crosses its source's link upwards and its
 * host's link downwards; a few rounds give each the least of what it can use and of its fair share
 * of either link, then hand out again what was left: max-min fairness, but for the last percent.
 */
export class Links {
  readonly #up: Float64Array;
  readonly #down: Float64Array;
  readonly #upLeft: Float64Array;
  readonly #downLeft: Float64Array;
  readonly #upCount: Int32Array;
  readonly #downCount: Int32Array;

  /** Bytes that each link carries in a step; the last of `up` is the upstream's. */
  constructor(up: Float64Array, down: Float64Array) {
    this.#up = up;
    this.#down = down;
    this.#upLeft = new Float64Array(up.length);
    this.#downLeft = new Float64Array(down.length);
    this.#upCount = new Int32Array(up.length);
    this.#downCount = new Int32Array(down.length);
  }

  /** `wants[i]` bytes from `from[i]` to `to[i]`; what each gets is written to `gets`. */
  share(
    count: number,
    from: Int32Array,
    to: Int32Array,
    wants: Float64Array,
    gets: Float64Array,
  ): void {
    this.#upLeft.set(this.#up);
    this.#downLeft.set(this.#down);
    gets.fill(0, 0, count);
    for (let round = 0; round < ROUNDS; round += 1) {
      if (!this.#round(count, from, to, wants, gets)) break;
    }
  }

  #round(
    count: number,
    from: Int32Array,
    to: Int32Array,
    wants: Float64Array,
    gets: Float64Array,
  ): boolean {
    this.#upCount.fill(0);
    this.#downCount.fill(0);
    let isHungry = false;
    const wantsMore = (flow: number) =>
      at(wants, flow) - at(gets, flow) > 1 &&
      at(this.#upLeft, at(from, flow)) > 1 &&
      at(this.#downLeft, at(to, flow)) > 1;
    for (let flow = 0; flow < count; flow += 1) {
      if (!wantsMore(flow)) continue;
      isHungry = true;
      add(this.#upCount, at(from, flow), 1);
      add(this.#downCount, at(to, flow), 1);
    }
    if (!isHungry) return false;
    // The shares are those of the round's start: what one flow leaves over is for the next round.
    for (let flow = 0; flow < count; flow += 1) {
      const up = at(from, flow);
      const down = at(to, flow);
      if (at(this.#upCount, up) < 1 || at(this.#downCount, down) < 1) continue;
      const more = Math.min(
        at(wants, flow) - at(gets, flow),
        at(this.#upLeft, up) / at(this.#upCount, up),
        at(this.#downLeft, down) / at(this.#downCount, down),
      );
      if (more <= 1) continue;
      add(gets, flow, more);
      add(this.#upLeft, up, -more);
      add(this.#downLeft, down, -more);
      add(this.#upCount, up, -1);
      add(this.#downCount, down, -1);
    }
    return true;
  }
}

const ROUNDS = 4;

type Numbers = Float64Array | Int32Array;

export function at(values: Numbers, index: number): number {
  return values[index] as number;
}

export function add(values: Numbers, index: number, more: number): void {
  values[index] = (values[index] as number) + more;
}
