import { BODY_SILENCE_MS } from '../../lib/http/constants.ts';
import { MAX_WINDOWS_BYTES, WINDOW_BYTES } from '../../lib/mirror/chunks/constants.ts';
import { INFLIGHT_PROBE_MS } from '../../lib/mirror/constants.ts';
import { REPORT_MS } from '../../lib/tracker/constants.ts';
import type { StripedAnswer, StripedAssignment } from '../../lib/tracker/striped-assignment.ts';
import { add, at, Links } from './links.ts';
import type { Outcome, Plan } from './plan.ts';
import { StripeLayout } from './stripe-layout.ts';

/** Bytes per second of 1 Mbit/s. */
const MBIT = 125_000;
/** containerd's max_concurrent_downloads. */
const PARALLEL = 3;
/** Question, answer, connection and first request, in hops. */
const START_HOPS = 4;
const DEAD_MS = BODY_SILENCE_MS + INFLIGHT_PROBE_MS;
const UPSTREAM = -1;
const IDLE = -2;

export interface StripedPlan extends Omit<Plan, 'newAssignment' | 'isDeaf'> {
  readonly stripes: number;
  /** Bytes. */
  readonly chunk: number;
  /** A host passes on what it has of a stripe in steps of as many bytes. */
  readonly piece: number;
  /** From an answer to the first report, and from one report to the next, in milliseconds. */
  readonly firstReportMs?: number;
  /** Report as rarely as the tracker wants it, not once a second. */
  readonly isHonest?: boolean;
  /** Slow hosts find that out by themselves, over as many milliseconds. */
  readonly resignMs?: number;
  readonly newAssignment: () => StripedAssignment;
}

/** Plays a pull of one image by many hosts, each layer in stripes. Deterministic. */
export class StripedSimulation {
  readonly #plan: StripedPlan;
  readonly #layers: number;
  readonly #k: number;
  readonly #layouts: readonly StripeLayout[];
  readonly #assignments: readonly StripedAssignment[];
  /** By host, layer and stripe. */
  readonly #have: Float64Array;
  readonly #source: Int32Array;
  readonly #since: Float64Array;
  /** By host and layer: bytes of a body in order; that of a leader grows by itself. */
  readonly #prefix: Float64Array;
  readonly #reportAt: Float64Array;
  /** By host, layer and stripe, at the last look: what it had, and what its source had. */
  readonly #had: Float64Array;
  readonly #theirs: Float64Array;
  readonly #seenSource: Int32Array;
  readonly #isSlow: Int32Array;
  readonly #failed = new Map<number, string[]>();
  readonly #isDead: Uint8Array;
  readonly #next: Int32Array;
  readonly #left: Int32Array;
  readonly #open: Int32Array;
  readonly #took: (number | undefined)[];
  readonly #providers: readonly string[];
  readonly #links: Links;
  readonly #askTimes: number[] = [];
  #active: number[] = [];
  #now = 0;
  #sent = 0;
  #maxDepth = 0;
  #maxChildren = 0;
  #moves = 0;
  #unfinished: number;

  constructor(plan: StripedPlan) {
    const { hosts, hop, stripes } = plan;
    this.#plan = plan;
    this.#layers = plan.layers.length;
    this.#k = stripes;
    this.#layouts = plan.layers.map(
      (mib) => new StripeLayout(mib * 1024 * 1024, stripes, plan.chunk),
    );
    this.#assignments = plan.layers.map(() => plan.newAssignment());
    const cells = hosts.length * this.#layers;
    this.#have = new Float64Array(cells * stripes);
    this.#source = new Int32Array(cells * stripes).fill(IDLE);
    this.#since = new Float64Array(cells * stripes);
    this.#had = new Float64Array(cells * stripes);
    this.#theirs = new Float64Array(cells * stripes);
    this.#seenSource = new Int32Array(cells * stripes).fill(IDLE);
    this.#isSlow = new Int32Array(cells);
    this.#prefix = new Float64Array(cells);
    this.#reportAt = new Float64Array(cells);
    this.#isDead = new Uint8Array(hosts.length);
    this.#next = new Int32Array(hosts.length);
    this.#open = new Int32Array(hosts.length);
    this.#left = new Int32Array(hosts.length).fill(this.#layers);
    this.#took = hosts.map(() => undefined);
    this.#providers = (plan.providers ?? []).map(String);
    this.#unfinished = hosts.length - this.#providers.length;
    const step = (mbit: number) => (mbit * MBIT * hop) / 1000;
    this.#links = new Links(
      Float64Array.from([...hosts.map(({ up }) => step(up)), step(plan.upstream)]),
      Float64Array.from(hosts.map(({ down }) => step(down))),
    );
    for (const provider of plan.providers ?? []) {
      for (let layer = 0; layer < this.#layers; layer += 1) {
        this.#complete(provider * this.#layers + layer);
      }
    }
  }

  run(limitMs: number): Outcome {
    const { hosts, hop } = this.#plan;
    const providers = new Set(this.#plan.providers);
    const starts = hosts
      .map(({ start }, host) => ({ start, host }))
      .filter(({ host }) => !providers.has(host))
      .sort((a, b) => b.start - a.start);
    const deaths = hosts.flatMap(({ dies }, host) => (dies === undefined ? [] : [{ dies, host }]));
    for (; this.#unfinished > 0 && this.#now < limitMs; this.#now += hop) {
      while ((starts.at(-1)?.start ?? Number.POSITIVE_INFINITY) <= this.#now) {
        const { host } = starts.pop() as { host: number };
        for (let slot = 0; slot < PARALLEL; slot += 1) this.#startNext(host);
      }
      for (const death of deaths) {
        if (death.dies <= this.#now && this.#isDead[death.host] === 0) this.#kill(death.host);
      }
      this.#move();
      this.#talk();
    }
    const total = this.#plan.layers.reduce((sum, mib) => sum + mib * 1024 * 1024, 0);
    const times = this.#askTimes.sort((a, b) => a - b);
    return {
      took: this.#took,
      copies: this.#sent / total,
      maxDepth: this.#maxDepth,
      maxChildren: this.#maxChildren,
      moves: this.#moves,
      askMicros: 1000 * (times[Math.floor(times.length * 0.99)] ?? 0),
    };
  }

  #startNext(host: number): void {
    const layer = at(this.#next, host);
    if (layer >= this.#layers || this.#isDead[host] === 1) return;
    add(this.#next, host, 1);
    add(this.#open, host, 1);
    const cell = host * this.#layers + layer;
    this.#active.push(cell);
    this.#reportAt[cell] = this.#now + (this.#plan.firstReportMs ?? (host * 7919) % REPORT_MS);
    this.#ask(
      cell,
      Array.from({ length: this.#k }, (_, stripe) => stripe),
    );
  }

  #ask(cell: number, stripes: readonly number[]): void {
    const question = {
      peer: String(this.#hostOf(cell)),
      have: this.#haves(cell),
      failed: this.#failed.get(cell) ?? [],
      stripes,
    };
    const started = performance.now();
    const answer = this.#assignment(cell).ask(question, this.#providers, this.#now);
    this.#askTimes.push(performance.now() - started);
    this.#follow(cell, answer);
  }

  #follow(cell: number, answer: StripedAnswer): void {
    const since = this.#now + START_HOPS * this.#plan.hop;
    if (answer.role === 'lead') {
      this.#prefix[cell] = this.#prefixOf(cell);
      for (let stripe = 0; stripe < this.#k; stripe += 1) {
        const place = cell * this.#k + stripe;
        this.#source[place] = UPSTREAM;
        this.#since[place] = since;
        this.#have[place] = this.#layout(cell).within(at(this.#prefix, cell), stripe);
      }
      return;
    }
    for (const { peer, stripe, depth } of answer.sources) {
      const place = cell * this.#k + stripe;
      if (at(this.#source, place) === Number(peer)) continue;
      this.#source[place] = Number(peer);
      this.#since[place] = since;
      this.#maxDepth = Math.max(this.#maxDepth, depth + 1);
    }
  }

  #kill(host: number): void {
    this.#isDead[host] = 1;
    this.#active = this.#active.filter((cell) => this.#hostOf(cell) !== host);
    if (this.#took[host] === undefined) this.#unfinished -= 1;
  }

  /** One step of all transfers; each sees of its source what that had a step ago. */
  #move(): void {
    const most = this.#active.length * this.#k;
    const from = new Int32Array(most);
    const to = new Int32Array(most);
    const wants = new Float64Array(most);
    const places = new Int32Array(most);
    let count = 0;
    const put = (place: number, source: number, host: number, want: number) => {
      if (want <= 0) return;
      from[count] = source;
      to[count] = host;
      wants[count] = want;
      places[count] = place;
      count += 1;
    };
    for (const cell of this.#active) {
      const host = this.#hostOf(cell);
      if (this.#leads(cell))
        put(cell * this.#k, this.#plan.hosts.length, host, this.#fetches(cell));
      else this.#wants(cell, (place, source, want) => put(place, source, host, want));
    }
    const gets = new Float64Array(count);
    this.#links.share(count, from, to, wants, gets);
    for (let flow = 0; flow < count; flow += 1) {
      const place = at(places, flow);
      if (at(from, flow) === this.#plan.hosts.length)
        this.#fetched(Math.floor(place / this.#k), at(gets, flow));
      else add(this.#have, place, at(gets, flow));
    }
    const finished = this.#active.filter((cell) => this.#isFull(cell));
    if (finished.length === 0) return;
    this.#active = this.#active.filter((cell) => !this.#isFull(cell));
    for (const cell of finished) this.#finish(cell);
  }

  #fetches(cell: number): number {
    if (this.#now < at(this.#since, cell * this.#k)) return 0;
    const size = this.#sizeOf(cell);
    const limit = this.#plan.hosts[this.#hostOf(cell)]?.upstream;
    const most = limit === undefined ? size : (limit * MBIT * this.#plan.hop) / 1000 / PARALLEL;
    return Math.min(size - at(this.#prefix, cell), most);
  }

  #fetched(cell: number, bytes: number): void {
    this.#sent += bytes;
    add(this.#prefix, cell, bytes);
    for (let stripe = 0; stripe < this.#k; stripe += 1) {
      this.#have[cell * this.#k + stripe] = this.#layout(cell).within(
        at(this.#prefix, cell),
        stripe,
      );
    }
  }

  #wants(cell: number, put: (place: number, source: number, want: number) => void): void {
    const layout = this.#layout(cell);
    const layer = cell % this.#layers;
    const room = Math.min(WINDOW_BYTES, MAX_WINDOWS_BYTES / at(this.#open, this.#hostOf(cell)));
    const until = this.#prefixOf(cell) + room;
    for (let stripe = 0; stripe < this.#k; stripe += 1) {
      const place = cell * this.#k + stripe;
      const source = at(this.#source, place);
      if (source < 0 || this.#isDead[source] === 1 || this.#now < at(this.#since, place)) continue;
      const theirs = this.#gives(source * this.#layers + layer, stripe);
      const most = Math.min(theirs, layout.within(until, stripe));
      put(place, source, most - at(this.#have, place));
    }
  }

  #gives(cell: number, stripe: number): number {
    const have = at(this.#have, cell * this.#k + stripe);
    const { piece } = this.#plan;
    return have >= this.#layout(cell).sizeOf(stripe) - 2 ? have : have - (have % piece);
  }

  #prefixOf(cell: number): number {
    const layout = this.#layout(cell);
    let first = this.#sizeOf(cell);
    for (let stripe = 0; stripe < this.#k; stripe += 1) {
      first = Math.min(first, layout.firstMissing(at(this.#have, cell * this.#k + stripe), stripe));
    }
    return first;
  }

  #isFull(cell: number): boolean {
    return this.#leads(cell)
      ? at(this.#prefix, cell) >= this.#sizeOf(cell) - 2
      : this.#prefixOf(cell) >= this.#sizeOf(cell);
  }

  #complete(cell: number): void {
    for (let stripe = 0; stripe < this.#k; stripe += 1) {
      this.#have[cell * this.#k + stripe] = this.#layout(cell).sizeOf(stripe);
    }
  }

  #finish(cell: number): void {
    const host = this.#hostOf(cell);
    this.#complete(cell);
    this.#assignment(cell).done(String(host), this.#now);
    add(this.#open, host, -1);
    this.#startNext(host);
    add(this.#left, host, -1);
    if (at(this.#left, host) > 0) return;
    this.#took[host] = (this.#now - (this.#plan.hosts[host]?.start ?? 0)) / 1000;
    this.#unfinished -= 1;
  }

  /** Reports, and sources that died. */
  #talk(): void {
    const isCount = Math.round(this.#now / this.#plan.hop) % 100 === 0;
    const children = new Map<number, number>();
    for (const cell of this.#active.slice()) {
      const dead: number[] = [];
      for (let stripe = 0; stripe < this.#k; stripe += 1) {
        const source = at(this.#source, cell * this.#k + stripe);
        if (source < 0) continue;
        if (isCount) {
          const key = source * this.#layers + (cell % this.#layers);
          children.set(key, (children.get(key) ?? 0) + 1);
        }
        if (this.#isDead[source] === 1 && this.#isFoundDead(cell, stripe, source))
          dead.push(stripe);
      }
      if (dead.length > 0) this.#leave(cell, dead);
      if (this.#isLookDue(cell) && this.#looksSlow(cell)) this.#resign(cell);
      if (this.#now >= at(this.#reportAt, cell)) this.#report(cell);
    }
    for (const count of children.values()) this.#maxChildren = Math.max(this.#maxChildren, count);
  }

  #isLookDue(cell: number): boolean {
    const { resignMs, hop } = this.#plan;
    if (resignMs === undefined || at(this.#isSlow, cell) === 1 || this.#leads(cell)) return false;
    return (
      Math.round((this.#now + this.#hostOf(cell) * hop) / hop) % Math.round(resignMs / hop) === 0
    );
  }

  /** Its sources got much further than itself since the last look, where it reads all it can. */
  #looksSlow(cell: number): boolean {
    const layer = cell % this.#layers;
    const spread = WINDOW_BYTES / this.#k / 4;
    let [mine, theirs, count, least] = [0, 0, 0, Number.POSITIVE_INFINITY];
    for (const have of this.#haves(cell)) least = Math.min(least, have);
    for (let stripe = 0; stripe < this.#k; stripe += 1) {
      const place = cell * this.#k + stripe;
      const source = at(this.#source, place);
      const have = at(this.#have, place);
      const gives = this.#gives(source * this.#layers + layer, stripe);
      const isSame = at(this.#seenSource, place) === source;
      if (isSame && gives - have > 524_288 && have - least < spread) {
        mine += have - at(this.#had, place);
        theirs += gives - at(this.#theirs, place);
        count += 1;
      }
      this.#seenSource[place] = source;
      this.#had[place] = have;
      this.#theirs[place] = gives;
    }
    return count >= Math.min(2, this.#k) && mine < 0.45 * theirs;
  }

  /** It reports that it is slow, and its children ask at once. */
  #resign(cell: number): void {
    this.#isSlow[cell] = 1;
    this.#report(cell);
    const layer = cell % this.#layers;
    for (const child of this.#active) {
      if (child % this.#layers !== layer) continue;
      const stripes = Array.from({ length: this.#k }, (_, stripe) => stripe).filter(
        (stripe) => at(this.#source, child * this.#k + stripe) === this.#hostOf(cell),
      );
      if (stripes.length === 0) continue;
      this.#moves += stripes.length;
      this.#ask(child, stripes);
    }
  }

  #isFoundDead(cell: number, stripe: number, source: number): boolean {
    const died = this.#plan.hosts[source]?.dies ?? 0;
    return this.#now - Math.max(died, at(this.#since, cell * this.#k + stripe)) >= DEAD_MS;
  }

  #leave(cell: number, stripes: readonly number[]): void {
    this.#moves += stripes.length;
    const gone = stripes.map((stripe) => String(at(this.#source, cell * this.#k + stripe)));
    this.#failed.set(cell, [...new Set([...(this.#failed.get(cell) ?? []), ...gone])]);
    this.#ask(cell, stripes);
  }

  #report(cell: number): void {
    const assignment = this.#assignment(cell);
    const every = this.#plan.isHonest === true ? assignment.reportIntervalMs : REPORT_MS;
    this.#reportAt[cell] = this.#now + every;
    const sources = Array.from({ length: this.#k }, (_, stripe) => {
      const source = at(this.#source, cell * this.#k + stripe);
      return source < 0 ? undefined : String(source);
    });
    const said = {
      peer: String(this.#hostOf(cell)),
      have: this.#haves(cell),
      sources,
      ...(this.#plan.resignMs === undefined ? {} : { isSlow: at(this.#isSlow, cell) === 1 }),
    };
    const again = assignment.report(said, this.#now);
    if (again.length === 0 || this.#leads(cell)) return;
    this.#moves += again.length;
    this.#ask(cell, again);
  }

  #haves(cell: number): number[] {
    return Array.from({ length: this.#k }, (_, stripe) =>
      Math.floor(at(this.#have, cell * this.#k + stripe)),
    );
  }

  #leads(cell: number): boolean {
    return at(this.#source, cell * this.#k) === UPSTREAM;
  }

  #sizeOf(cell: number): number {
    return (this.#plan.layers[cell % this.#layers] as number) * 1024 * 1024;
  }

  #layout(cell: number): StripeLayout {
    return this.#layouts[cell % this.#layers] as StripeLayout;
  }

  #assignment(cell: number): StripedAssignment {
    return this.#assignments[cell % this.#layers] as StripedAssignment;
  }

  #hostOf(cell: number): number {
    return Math.floor(cell / this.#layers);
  }
}
