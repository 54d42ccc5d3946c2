import { BODY_SILENCE_MS } from '../../lib/http/constants.ts';
import { INFLIGHT_PROBE_MS } from '../../lib/mirror/constants.ts';
import type { DigestAssignment, SourceAnswer } from '../../lib/tracker/assignment.ts';
import { REPORT_MS } from '../../lib/tracker/constants.ts';
import { add, at, Links } from './links.ts';
import type { Outcome, Plan } from './plan.ts';
import { SlowSources } from './slow-sources.ts';

/** Bytes per second of 1 Mbit/s. */
const MBIT = 125_000;
/** containerd's max_concurrent_downloads. */
const PARALLEL = 3;
/** Question, answer, connection and first request, in hops. */
const START_HOPS = 4;
/** No byte, and no answer when asked whether it lives: the source is dead. */
const DEAD_MS = BODY_SILENCE_MS + INFLIGHT_PROBE_MS;

const UPSTREAM = -1;
const IDLE = -2;
const DONE = -3;

/** Plays a pull of one image by many hosts. Deterministic, no clock but its own. */
export class Simulation {
  readonly #plan: Plan;
  readonly #layers: number;
  readonly #sizes: readonly number[];
  readonly #assignments: readonly DigestAssignment[];
  /** By host and layer. */
  readonly #have: Float64Array;
  readonly #source: Int32Array;
  readonly #depth: Int32Array;
  readonly #since: Float64Array;
  readonly #failed = new Map<number, string[]>();
  readonly #slowSources: SlowSources;
  /** By host. */
  readonly #isDead: Uint8Array;
  readonly #next: Int32Array;
  readonly #left: Int32Array;
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

  constructor(plan: Plan) {
    const { hosts, hop } = plan;
    this.#plan = plan;
    this.#layers = plan.layers.length;
    this.#sizes = plan.layers.map((mib) => mib * 1024 * 1024);
    this.#assignments = plan.layers.map(() => plan.newAssignment());
    const cells = hosts.length * this.#layers;
    this.#have = new Float64Array(cells);
    this.#source = new Int32Array(cells).fill(IDLE);
    this.#depth = new Int32Array(cells);
    this.#since = new Float64Array(cells);
    this.#slowSources = new SlowSources(cells);
    this.#isDead = new Uint8Array(hosts.length);
    this.#next = new Int32Array(hosts.length);
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
        this.#have[provider * this.#layers + layer] = this.#sizes[layer] as number;
        this.#source[provider * this.#layers + layer] = DONE;
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
    return this.#outcome();
  }

  #outcome(): Outcome {
    const total = this.#sizes.reduce((sum, size) => sum + size, 0);
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
    const cell = host * this.#layers + layer;
    this.#active.push(cell);
    this.#ask(cell);
  }

  #ask(cell: number): void {
    const [host, layer] = this.#place(cell);
    const question = {
      peer: String(host),
      have: Math.floor(at(this.#have, cell)),
      failed: this.#failed.get(cell) ?? [],
    };
    const started = performance.now();
    const answer = this.#assignment(layer).ask(question, this.#providers, this.#now);
    this.#askTimes.push(performance.now() - started);
    this.#follow(cell, answer);
  }

  #follow(cell: number, answer: SourceAnswer): void {
    const peer = answer.role === 'lead' ? undefined : answer.sources[0]?.peer;
    this.#source[cell] = peer === undefined ? UPSTREAM : Number(peer);
    this.#depth[cell] = answer.role === 'lead' ? 0 : answer.depth + 1;
    this.#since[cell] = this.#now + START_HOPS * this.#plan.hop;
    this.#slowSources.restart(cell);
    this.#maxDepth = Math.max(this.#maxDepth, at(this.#depth, cell));
  }

  #kill(host: number): void {
    this.#isDead[host] = 1;
    this.#active = this.#active.filter((cell) => {
      const isOurs = this.#place(cell)[0] === host;
      return !isOurs;
    });
    if (this.#took[host] === undefined) this.#unfinished -= 1;
  }

  /** One step of all transfers; each sees of its source what that had a step ago. */
  #move(): void {
    const upstream = this.#plan.hosts.length;
    const from = new Int32Array(this.#active.length);
    const to = new Int32Array(this.#active.length);
    const wants = new Float64Array(this.#active.length);
    for (const [flow, cell] of this.#active.entries()) {
      const source = at(this.#source, cell);
      from[flow] = source === UPSTREAM ? upstream : source;
      to[flow] = this.#place(cell)[0];
      wants[flow] = this.#wants(cell, source);
    }
    const gets = new Float64Array(this.#active.length);
    this.#links.share(this.#active.length, from, to, wants, gets);
    for (const [flow, cell] of this.#active.entries()) {
      add(this.#have, cell, at(gets, flow));
      if (at(this.#source, cell) === UPSTREAM) this.#sent += at(gets, flow);
    }
    const finished = this.#active.filter((cell) => this.#isFull(cell));
    if (finished.length === 0) return;
    this.#active = this.#active.filter((cell) => !this.#isFull(cell));
    for (const cell of finished) this.#finish(cell);
  }

  #wants(cell: number, source: number): number {
    if (this.#now < at(this.#since, cell)) return 0;
    const [host, layer] = this.#place(cell);
    const size = this.#sizes[layer] as number;
    if (source === UPSTREAM) {
      const limit = this.#plan.hosts[host]?.upstream;
      const most = limit === undefined ? size : (limit * MBIT * this.#plan.hop) / 1000 / PARALLEL;
      return Math.min(size - at(this.#have, cell), most);
    }
    if (this.#isDead[source] === 1) return 0;
    // As it comes: what is relayed need not be on the disk first (relay-tail.ts).
    return Math.max(0, at(this.#have, source * this.#layers + layer) - at(this.#have, cell));
  }

  #isFull(cell: number): boolean {
    return at(this.#have, cell) >= (this.#sizes[this.#place(cell)[1]] as number) - 2;
  }

  #finish(cell: number): void {
    const [host, layer] = this.#place(cell);
    this.#source[cell] = DONE;
    this.#have[cell] = this.#sizes[layer] as number;
    this.#assignment(layer).done(String(host), this.#now);
    this.#startNext(host);
    add(this.#left, host, -1);
    if (at(this.#left, host) > 0) return;
    this.#took[host] = (this.#now - (this.#plan.hosts[host]?.start ?? 0)) / 1000;
    this.#unfinished -= 1;
  }

  /** Reports, and sources that are given up. Each host reports at its own moment in a second. */
  #talk(): void {
    const steps = Math.round(REPORT_MS / this.#plan.hop);
    const turn = Math.round(this.#now / this.#plan.hop) % steps;
    const children = new Map<number, number>();
    for (const cell of this.#active.slice()) {
      const [host, layer] = this.#place(cell);
      const source = at(this.#source, cell);
      if (turn === 0 && source >= 0) {
        const key = source * this.#layers + layer;
        children.set(key, (children.get(key) ?? 0) + 1);
      }
      if (source >= 0 && this.#isDead[source] === 1) this.#leaveDead(cell, source);
      if ((host * 7919) % steps === turn) this.#report(cell, host, layer, source);
    }
    for (const count of children.values()) this.#maxChildren = Math.max(this.#maxChildren, count);
  }

  #leaveDead(cell: number, source: number): void {
    const died = this.#plan.hosts[source]?.dies ?? 0;
    if (this.#now - Math.max(died, at(this.#since, cell)) >= DEAD_MS) this.#leave(cell, source);
  }

  #report(cell: number, host: number, layer: number, source: number): void {
    const have = Math.floor(at(this.#have, cell));
    const named = source === UPSTREAM ? undefined : String(source);
    const said = { peer: String(host), have, source: named };
    const isHeldUp = this.#assignment(layer).report(said, this.#now);
    if (isHeldUp && source >= 0 && this.#plan.isDeaf !== true) {
      this.#moves += 1;
      this.#ask(cell);
      return;
    }
    if (source < 0 || this.#isDead[source] === 1) return;
    const ahead = at(this.#have, source * this.#layers + layer) - have;
    if (this.#slowSources.isSlow(cell, have, ahead, at(this.#depth, cell)))
      this.#leave(cell, source);
  }

  #leave(cell: number, source: number): void {
    this.#moves += 1;
    this.#failed.set(cell, [...(this.#failed.get(cell) ?? []), String(source)]);
    this.#ask(cell);
  }

  #assignment(layer: number): DigestAssignment {
    return this.#assignments[layer] as DigestAssignment;
  }

  #place(cell: number): [host: number, layer: number] {
    return [Math.floor(cell / this.#layers), cell % this.#layers];
  }
}
