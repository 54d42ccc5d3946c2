import { ACCUSED_AT, BEHIND_COST, WHOLE_BURDEN, WITH_DEAD, WITH_SLOW } from './constants.ts';
import { isSlow, referenceRate } from './puller-rates.ts';
import type { Puller, Pullers } from './pullers.ts';

/** What the rule weighs. Chosen by simulation (scripts/simulate-inflight.ts). */
export interface Weights {
  /** How many children of one source may take their full share; twice as many with slow ones. */
  readonly maxChildren: number;
  /** How many more hops are as bad as one more child. */
  readonly child: number;
}

export interface Choice {
  readonly puller: Puller;
  /** How many hosts pass the bytes on before they reach `puller`. */
  readonly depth: number;
  /** How far the puller can be trusted; 0 is best. */
  readonly trust: number;
}

/** How far a source can be trusted, best first. `UNPROVEN`: of unknown rate, to a held-up asker. */
const SOUND = 0;
const UNPROVEN = 1;
const SLOW = 2;
const ROOTLESS = 3;
const ACCUSED = 4;

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
  weights: Weights,
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
      const children = countChildren(puller, rate);
      if (children >= weights.maxChildren) continue;
      if (countLiving(puller) >= weights.maxChildren * WITH_SLOW) continue;
      if (puller.children.length >= weights.maxChildren * WITH_DEAD) continue;
      const trust = trustOf(puller, asker, isFed, rate, isHeldUp);
      if (best !== undefined && trust > best.trust) continue;
      const cost =
        puller.depth + weights.child * burdenOf(puller, children) + lackOf(puller, asker);
      if (best !== undefined && trust === best.trust && cost >= best.cost) continue;
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

function trustOf(
  puller: Puller,
  asker: Puller,
  isFed: boolean,
  rate: number | undefined,
  isHeldUp: boolean,
): number {
  const { accusers } = puller;
  if (accusers.size >= ACCUSED_AT || accusers.has(asker.peer)) return ACCUSED;
  if (!isFed) return ROOTLESS;
  if (isSlow(puller, rate)) return SLOW;
  return isHeldUp && puller.state === 'follows' && puller.rate === undefined ? UNPROVEN : SOUND;
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
