import { ACCUSED_AT, BEHIND_COST, WHOLE_BURDEN, WITH_DEAD, WITH_SLOW } from './constants.ts';
import { isHeldUp, isSlow, referenceRate } from './puller-rates.ts';
import type { Puller, Pullers } from './pullers.ts';

/** What the rule weighs. Chosen by simulation (scripts/simulate-inflight.ts). */
export interface Weights {
  /** How many children of one source may take their full share; twice as many with slow ones. */
  readonly maxChildren: number;
  /** How many more hops are as bad as one more child. */
  readonly child: number;
}

/** How far a source can be trusted, best first. `UNPROVEN`: of unknown rate, to a held-up asker. */
export const SOUND = 0;
const UNPROVEN = 1;
export const SLOW = 2;
const ROOTLESS = 3;
const ACCUSED = 4;

/** How the sources of one forest are weighed against each other. */
export interface SourceRule {
  /**
   * What it costs to follow this source; undefined: it has all the children that it may have.
   * `reference`: what its tree's root gets, in bytes per second; undefined: not known. `below`: a
   * source that costs as much or more is not wanted.
   */
  cost(
    source: Puller,
    asker: Puller,
    reference: number | undefined,
    below: number,
  ): number | undefined;
  /** How far its rate can be trusted: SOUND, UNPROVEN or SLOW. `isHeldUp`: the asker is. */
  trust(source: Puller, reference: number | undefined, isHeldUp: boolean): number;
  /** The puller is to get another source, if there is a better one. */
  isHeldUp(puller: Puller, leaderRate: number | undefined): boolean;
}

/** One tree for the whole content: the least of depth and children. */
export class TreeRule implements SourceRule {
  readonly #weights: Weights;

  constructor(weights: Weights) {
    this.#weights = weights;
  }

  cost(source: Puller, asker: Puller, reference: number | undefined): number | undefined {
    const { maxChildren, child } = this.#weights;
    const children = countChildren(source, reference);
    if (children >= maxChildren) return undefined;
    if (countLiving(source) >= maxChildren * WITH_SLOW) return undefined;
    if (source.children.length >= maxChildren * WITH_DEAD) return undefined;
    return source.depth + child * burdenOf(source, children) + lackOf(source, asker);
  }

  trust(source: Puller, reference: number | undefined, isHeldUp: boolean): number {
    if (isSlow(source, reference)) return SLOW;
    return isHeldUp && source.state === 'follows' && source.rate === undefined ? UNPROVEN : SOUND;
  }

  isHeldUp(puller: Puller, leaderRate: number | undefined): boolean {
    return isHeldUp(puller, leaderRate);
  }
}

export interface Choice {
  readonly puller: Puller;
  /** How many hosts pass the bytes on before they reach `puller`. */
  readonly depth: number;
  /** How far the puller can be trusted; 0 is best. */
  readonly trust: number;
}

interface RatedChoice extends Choice {
  readonly cost: number;
}

/**
 * Returns the best source for `asker`; undefined: it leads. Never one of `failed`, one that gets
 * its own bytes through the asker, or one that has all the children that it may have.
 *
 * Walks over the whole forest from its roots, 10,000 short steps at most: nothing is cached that
 * could be stale.
 */
export function chooseSource(
  pullers: Pullers,
  asker: Puller,
  failed: ReadonlySet<string>,
  rule: SourceRule,
  isHeldUp = false,
): Choice | undefined {
  let best: RatedChoice | undefined;
  let hasLeader = false;
  for (const root of pullers.all()) {
    if (root.parent !== undefined || root === asker) continue;
    hasLeader ||= root.state === 'leads';
    const rate = referenceRate(root, pullers.leaderRate);
    const isFed = root.state !== 'stray';
    for (const puller of walk(root, asker)) {
      if (failed.has(puller.peer) || !mayServe(puller, asker, isFed)) continue;
      const fedTrust = isFed ? rule.trust(puller, rate, isHeldUp) : ROOTLESS;
      const trust = isAccused(puller, asker) ? ACCUSED : fedTrust;
      if (best !== undefined && trust > best.trust) continue;
      const below = trust === best?.trust ? best.cost : Number.POSITIVE_INFINITY;
      const cost = rule.cost(puller, asker, rate, below);
      if (cost === undefined || cost >= below) continue;
      best = { puller, depth: puller.depth, trust, cost };
    }
  }
  // A source that failed others is taken only while a leader fetches a copy. Without a leader, one
  // more copy from the upstream is better.
  return best?.trust === ACCUSED && !hasLeader ? undefined : best;
}

/** Whether moving to this source is worth the request that it costs. */
export function isSound(choice: Choice): boolean {
  return choice.trust === SOUND;
}

/** The pullers of a tree without the asker and those below it. Sets their depths. */
function walk(root: Puller, asker: Puller): Puller[] {
  const found = [root];
  root.depth = 0;
  for (let index = 0; index < found.length; index += 1) {
    const puller = found[index] as Puller;
    for (const child of puller.children) {
      if (child === asker) continue;
      child.depth = puller.depth + 1;
      found.push(child);
    }
  }
  return found;
}

function mayServe(puller: Puller, asker: Puller, isFed: boolean): boolean {
  // A source that only others named may not speak the protocol, or not share what it downloads.
  if (puller.state === 'named') return false;
  if (puller.state === 'whole') return true;
  // Of pullers without a source the one that is ahead leads. A leader follows only for more bytes.
  return (isFed && asker.state !== 'leads') || puller.have > asker.have;
}

function isAccused({ accusers }: Puller, asker: Puller): boolean {
  return accusers.size >= ACCUSED_AT || accusers.has(asker.peer);
}

/** Children that take their full share: a slow one takes little, an accused one may be dead. */
function countChildren(puller: Puller, rate: number | undefined): number {
  let count = 0;
  for (const child of puller.children) {
    if (child.accusers.size === 0 && !isSlow(child, rate)) count += 1;
  }
  return count;
}

/** Children that no other gave up, slow ones included. */
function countLiving(puller: Puller): number {
  let count = 0;
  for (const child of puller.children) if (child.accusers.size === 0) count += 1;
  return count;
}

function burdenOf(puller: Puller, children: number): number {
  return children + puller.accusers.size + (puller.state === 'whole' ? WHOLE_BURDEN : 0);
}

function lackOf(puller: Puller, asker: Puller): number {
  const lack = puller.state === 'whole' ? 0 : asker.have - puller.have;
  return lack > 0 ? BEHIND_COST + lack : 0;
}
