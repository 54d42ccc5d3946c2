/** One host that has a digest, is getting it, or is only known as somebody's source. */
export interface Puller {
  readonly peer: string;
  /**
   * whole: has all of it. leads: from the upstream. follows: from `parent`. stray: nobody knows from where, it
   * lost its source and will ask. named: a puller calls it its source, it said nothing itself.
   */
  state: 'whole' | 'leads' | 'follows' | 'stray' | 'named';
  /** Bytes, from 0 on. */
  have: number;
  parent: Puller | undefined;
  readonly children: Puller[];
  /** Who gave up on it as a source of this digest; bounded, one is doubt and two are enough. */
  readonly accusers: Set<string>;
  /** Hosts before it, as of the last walk over the forest. */
  depth: number;
  /** Bytes a second of late, from the source that it has now; undefined: not known yet. */
  rate: number | undefined;
  /** How far it was at its last few reports; the rate comes from them. */
  readonly marks: { readonly at: number; readonly have: number }[];
  seen: number;
  /** When `parent` was given to it; a report that it sent before may still name another. */
  assigned: number;
}

/** More than this many say nothing new. */
const MAX_ACCUSERS = 4;

export function newPuller(peer: string, now: number): Puller {
  return {
    peer,
    state: 'stray',
    have: 0,
    parent: undefined,
    children: [],
    accusers: new Set(),
    depth: 0,
    rate: undefined,
    marks: [],
    seen: now,
    assigned: Number.NEGATIVE_INFINITY,
  };
}

/** Who gets a digest from whom: a forest. Entries expire, their number is bounded, there is never a cycle. */
export class Pullers {
  /** Bytes a second that the last leader got from the upstream; undefined: not known. */
  led: number | undefined;
  readonly #byPeer = new Map<string, Puller>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#byPeer.size;
  }

  get(peer: string): Puller | undefined {
    return this.#byPeer.get(peer);
  }

  all(): Iterable<Puller> {
    return this.#byPeer.values();
  }

  /** The entry of a peer, a new stray one if there was none; undefined: there are too many. */
  enter(peer: string, now: number): Puller | undefined {
    const known = this.#byPeer.get(peer);
    if (known !== undefined) return known;
    if (this.#byPeer.size >= this.#limit && !this.#makeRoom()) return undefined;
    const puller = newPuller(peer, now);
    this.#byPeer.set(peer, puller);
    return puller;
  }

  /** Its children lose their source. */
  remove(puller: Puller): void {
    this.detach(puller);
    this.abandon(puller);
    this.#byPeer.delete(puller.peer);
  }

  /** Makes `child` get it from `parent`. False, and nothing changes, if the parent descends from the child. */
  attach(child: Puller, parent: Puller): boolean {
    if (descends(parent, child)) return false;
    if (child.parent !== parent) {
      this.detach(child);
      child.parent = parent;
      parent.children.push(child);
      forgetRate(child);
    }
    child.state = 'follows';
    return true;
  }

  /** Leaves it without a source; its state is the caller's to set. */
  detach(child: Puller): void {
    const { parent } = child;
    if (parent === undefined) return;
    parent.children.splice(parent.children.indexOf(child), 1);
    child.parent = undefined;
    if (child.state === 'follows') child.state = 'stray';
  }

  /** It can no longer serve those that get it from there. */
  abandon(puller: Puller): void {
    while (puller.children[0] !== undefined) this.detach(puller.children[0]);
  }

  /** Notes that `accuser` gave up on that source. */
  accuse(puller: Puller, accuser: string): void {
    if (puller.accusers.size < MAX_ACCUSERS) puller.accusers.add(accuser);
  }

  /** Forgets those not heard of for their time: pullers and, much later, those that have all of it. */
  expire(now: number, pullerMs: number, wholeMs: number): void {
    for (const puller of this.#byPeer.values()) {
      const limit = puller.state === 'whole' ? wholeMs : pullerMs;
      if (now - puller.seen >= limit) this.remove(puller);
    }
  }

  /** A whole one that serves nobody is what can be missed first: a fleet that has it all has many of them. */
  #makeRoom(): boolean {
    for (const puller of this.#byPeer.values()) {
      if (puller.state !== 'whole' || puller.children.length > 0) continue;
      this.remove(puller);
      return true;
    }
    return false;
  }
}

/** Its bytes come from elsewhere from now on, or anew. */
export function forgetRate(puller: Puller): void {
  puller.rate = undefined;
  puller.marks.length = 0;
}

/** Whether bytes of `puller` come through `ancestor`; true for itself. */
export function descends(puller: Puller, ancestor: Puller): boolean {
  for (let step: Puller | undefined = puller; step !== undefined; step = step.parent) {
    if (step === ancestor) return true;
  }
  return false;
}
