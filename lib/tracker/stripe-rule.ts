import { SLOW, SOUND, type SourceRule } from './choice.ts';
import { isSlow } from './puller-rates.ts';
import type { Puller } from './pullers.ts';
import type { StripeRoles } from './stripe-roles.ts';

/** How wide the trees of the stripes are. */
export interface StripeWidth {
  /** Children of a host, of all stripes: with as many as stripes, it sends what it receives. */
  readonly children: number;
  /** Children of a root in each stripe. */
  readonly rootChildren: number;
}

/** So many more hops are as bad as one child more than a source is to have. */
const OVER_COST = 1_000;
/** So many for a source that is held up itself, as of now. */
const LATE_COST = 500;
/** So many for a source that is to pass on in another stripe, and has nothing to do there yet. */
const STRANGE_COST = 300;
/** More children than this in one stripe are refused in any case. */
const MAX_CHILDREN = 16;
/** Trees are not so deep; where all have too many children, the deepest gets one more. */
const MAX_DEPTH = 100;
/**
 * A host that has as much less than another may be its source: reports are a second old. Each
 * further one is as bad as a child too many.
 */
const NEAR_BYTES = 4 * 1024 * 1024;

/**
 * The tree of one stripe: full, and as flat as it can be. A host that passes on in it takes the
 * place of one that does not; that one moves down when it reports.
 */
export class StripeRule implements SourceRule {
  readonly #stripe: number;
  readonly #roles: StripeRoles;
  readonly #width: StripeWidth;
  /** Children of a host in the other stripes. */
  readonly #elsewhere: (peer: string) => number;

  constructor(
    stripe: number,
    roles: StripeRoles,
    width: StripeWidth,
    elsewhere: (peer: string) => number,
  ) {
    this.#stripe = stripe;
    this.#roles = roles;
    this.#width = width;
    this.#elsewhere = elsewhere;
  }

  cost(
    source: Puller,
    asker: Puller,
    reference: number | undefined,
    below: number,
  ): number | undefined {
    if (source.children.length >= MAX_CHILDREN) return undefined;
    const isFlat = !this.#roles.isSlow(asker.peer);
    const least = (this.#isStrange(source) ? STRANGE_COST : 0) + OVER_COST * lackOf(source, asker);
    // A fleet of thousands has few sources that are worth counting their children.
    if (least + (isFlat ? source.depth : 0) >= below) return undefined;
    const over = this.#over(source, this.#childrenWith(asker, source));
    const depth = over > 0 || !isFlat ? MAX_DEPTH - source.depth : source.depth;
    const late = isSlow(source, reference) ? LATE_COST : 0;
    return least + depth + late + OVER_COST * over;
  }

  /** A host that is held up in this stripe gets another source, so that its children may stay. */
  trust(source: Puller): number {
    return this.#roles.isSlow(source.peer) ? SLOW : SOUND;
  }

  /** Its source is slow, is to pass on elsewhere, or has too many children and this is a leaf. */
  isHeldUp(puller: Puller): boolean {
    const { parent } = puller;
    if (parent === undefined) return false;
    if (this.#roles.isSlow(parent.peer) || this.#isStrange(parent)) return true;
    if (this.#isInner(puller)) return false;
    let children = 0;
    for (const child of parent.children) children += this.#roles.weightOf(child);
    return this.#over(parent, children) >= this.#roles.weightOf(puller);
  }

  /** What its children take with this one, which those that only get this stripe make room for. */
  #childrenWith(asker: Puller, source: Puller): number {
    const isInner = this.#isInner(asker);
    let children = this.#roles.weightOf(asker);
    for (const child of source.children) {
      if (child === asker) continue;
      const givesWay = isInner && !this.#isInner(child) && child.have <= asker.have + NEAR_BYTES;
      if (!givesWay) children += this.#roles.weightOf(child);
    }
    return children;
  }

  #isInner({ peer }: Puller): boolean {
    return this.#roles.passesOn(peer, this.#stripe) === 'this';
  }

  #isStrange({ peer }: Puller): boolean {
    return this.#roles.passesOn(peer, this.#stripe) === 'none';
  }

  /** How many children more than its link feeds, with so many in this stripe. */
  #over({ peer }: Puller, children: number): number {
    const isRoot = this.#roles.passesOn(peer, this.#stripe) === 'every';
    const more = isRoot
      ? children - this.#width.rootChildren
      : children + this.#elsewhere(peer) - this.#width.children;
    return Math.max(0, more);
  }
}

/** How far a source is behind the asker, which would wait for it, in children. */
function lackOf({ have, state }: Puller, asker: Puller): number {
  return state === 'whole' ? 0 : Math.max(0, (asker.have - have) / NEAR_BYTES - 1);
}
