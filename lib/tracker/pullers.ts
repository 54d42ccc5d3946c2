import { MAX_ACCUSERS } from './constants.ts';

/** A host that has a digest, downloads it, or is only known as another host's source. */
export interface Puller {
  readonly peer: string;
  /**
   * `whole`: it has the whole content. `leads`: it gets it from the upstream. `follows`: from its
   * `parent`. `stray`: it lost its source and will ask. `named`: a puller called it its source, and
   * it has said nothing itself.
   */
  state: 'whole' | 'leads' | 'follows' | 'stray' | 'named';
  /** Bytes that it has, from 0 on. */
  have: number;
  parent: Puller | undefined;
  readonly children: Puller[];
  /** Pullers that gave it up as a source of this digest; at most MAX_ACCUSERS. */
  readonly accusers: Set<string>;
  /** How many hosts are before it, as of the last walk over the forest. */
  depth: number;
  /**
   * Bytes per second that this digest's registry gave it lately, as it says; undefined: nothing.
   */
  upstreamRate: number | undefined;
  /** Bytes per second of late, from its current source; undefined: not known yet. */
  rate: number | undefined;
  /** How far it was at its last few reports, for the rate. */
  readonly marks: { readonly at: number; readonly have: number }[];
  seenAt: number;
  /** When `parent` was given to it. A report from before may still name another source. */
  assignedAt: number;
}

export function newPuller(peer: string, now: number): Puller {
  return {
    peer,
    state: 'stray',
    have: 0,
    parent: undefined,
    children: [],
    accusers: new Set(),
    depth: 0,
    upstreamRate: undefined,
    rate: undefined,
    marks: [],
    seenAt: now,
    assignedAt: Number.NEGATIVE_INFINITY,
  };
}

/**
 * Which puller gets a digest from which: a forest, without cycles. Entries expire, and their number
 * is bounded.
 */
export class Pullers {
  /** Bytes per second that the last leader got from the upstream; undefined: not known. */
  leaderRate: number | undefined;
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

  /** The entry of a peer, a new `stray` one if need be; undefined: there is no room. */
  enter(peer: string, now: number): Puller | undefined {
    const known = this.#byPeer.get(peer);
    if (known !== undefined) return known;
    if (this.#byPeer.size >= this.#limit && !this.#makeRoom()) return undefined;
    const puller = newPuller(peer, now);
    this.#byPeer.set(peer, puller);
    return puller;
  }

  /** Removes it; its children lose their source. */
  remove(puller: Puller): void {
    this.detach(puller);
    this.abandon(puller);
    this.#byPeer.delete(puller.peer);
  }

  /** Makes `parent` the child's source. False: the parent descends from the child. */
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

  /** Takes its source away: a follower becomes stray. */
  detach(child: Puller): void {
    const { parent } = child;
    if (parent === undefined) return;
    parent.children.splice(parent.children.indexOf(child), 1);
    child.parent = undefined;
    if (child.state === 'follows') child.state = 'stray';
  }

  /** Takes its children away: it can no longer serve them. */
  abandon(puller: Puller): void {
    while (puller.children[0] !== undefined) this.detach(puller.children[0]);
  }

  /** Notes that `accuser` gave up this source. */
  accuse(puller: Puller, accuser: string): void {
    if (puller.accusers.size < MAX_ACCUSERS) puller.accusers.add(accuser);
  }

  /**
   * Forgets pullers not heard of for `pullerMs`, and hosts with the whole content for `wholeMs`.
   */
  expire(now: number, pullerMs: number, wholeMs: number): void {
    for (const puller of this.#byPeer.values()) {
      const limit = puller.state === 'whole' ? wholeMs : pullerMs;
      if (now - puller.seenAt >= limit) this.remove(puller);
    }
  }

  /** Removes a host with the whole content and no children: a fleet has many of them. */
  #makeRoom(): boolean {
    for (const puller of this.#byPeer.values()) {
      if (puller.state !== 'whole' || puller.children.length > 0) continue;
      this.remove(puller);
      return true;
    }
    return false;
  }
}

/** From now on its bytes come from another source, or anew. */
export function forgetRate(puller: Puller): void {
  puller.rate = undefined;
  puller.marks.length = 0;
}

/** Whether the bytes of `puller` come through `ancestor`; true for itself. */
export function descends(puller: Puller, ancestor: Puller): boolean {
  for (let step: Puller | undefined = puller; step !== undefined; step = step.parent) {
    if (step === ancestor) return true;
  }
  return false;
}
