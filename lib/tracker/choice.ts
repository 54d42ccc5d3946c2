import { isSlow, rateAt } from './puller-rates.ts';
import type { Puller, Pullers } from './pullers.ts';

/** What the rule weighs; the numbers were chosen by simulation (scripts/simulate-inflight.ts). */
export interface Weights {
  /** Children of one source of this digest that take their full share, at most; twice as many with slow ones. */
  readonly maxChildren: number;
  /** So many hops deeper are as bad as one more child. */
  readonly child: number;
}

export interface Choice {
  readonly puller: Puller;
  /** Hosts that pass the bytes on before they are at `puller`. */
  readonly depth: number;
  /** How far the puller can be trusted, 0 is best. */
  readonly trust: number;
}

/** How far a source can be trusted, best first. Unproven: to one that was held up already, it may be slow too. */
const SOUND = 0;
const UNPROVEN = 1;
const SLOW = 2;
const ROOTLESS = 3;
const ACCUSED = 4;

/** Given up on by so many others, or by the asker at an earlier request, it is a source only where there is no other. */
const ACCUSED_AT = 2;

/** One that has less than the asker comes after all that have as much, the least behind first: the asker waits. */
const BEHIND = 1e6;

/**
 * A whole one counts as having half a child: it is most likely busy with the pull's other layers, which the tracker
 * of this one cannot see, while the end of a chain is known to be idle.
 */
const WHOLE_BURDEN = 0.5;

/** Slow children take little of a source's link; this times as many in all keep it bounded. */
export const WITH_SLOW = 2;
/** And with those given up on, which may be dead: forgotten in seconds, they must not bar a source until then. */
const WITH_DEAD = 4;

interface Candidate extends Choice {
  readonly cost: number;
}

/**
 * The best source for `asker`, or undefined: it leads. Never one of `failed`, never one that gets its own bytes
 * through the asker, never one with all the children that it may have.
 *
 * One walk over the forest from its roots, ten thousand short steps at most: nothing is cached that could be stale.
 */
export function chooseSource(
  pullers: Pullers,
  asker: Puller,
  failed: ReadonlySet<string>,
  weights: Weights,
  isHeldUp = false,
): Choice | undefined {
  let best: Candidate | undefined;
  let hasLeader = false;
  for (const root of pullers.all()) {
    if (root.parent !== undefined || root === asker) continue;
    hasLeader ||= root.state === 'leads';
    const rate = rateAt(root, pullers.led);
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
  // Rather one more copy from the upstream than a source that failed others, unless somebody fetches that copy.
  return best?.trust === ACCUSED && !hasLeader ? undefined : best;
}

/** Whether a choice is as good as any: moving to it is worth the request that it costs. */
export function isSound(choice: Choice): boolean {
  return choice.trust === SOUND;
}

/** A tree without the asker's own part of it; sets the depths. */
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
  // One that said nothing itself may not speak the protocol, or not hand out what it is still getting.
  if (puller.state === 'named') return false;
  if (puller.state === 'whole') return true;
  // Of those that wait for a source, the one that is ahead leads. A leader leaves its upstream only for more bytes.
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

/** Those that take their full share: one that is slow takes little, one that others gave up on may be dead. */
function countChildren(puller: Puller, rate: number | undefined): number {
  let count = 0;
  for (const child of puller.children) {
    if (child.accusers.size === 0 && !isSlow(child, rate)) count += 1;
  }
  return count;
}

/** All that nobody gave up on, slow ones too. */
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
  return lack > 0 ? BEHIND + lack : 0;
}
