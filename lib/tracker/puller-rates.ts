import { MAX_RATE_MARKS, MIN_RATE_SPAN_MS, SLOW_PART } from './constants.ts';
import type { Puller } from './pullers.ts';

/**
 * The rate that the pullers of a tree are measured against, in bytes per second: what its root
 * gets, or, once the root has the whole content, what the last leader got from the upstream.
 * Undefined: not known.
 */
export function referenceRate(root: Puller, leaderRate: number | undefined): number | undefined {
  if (root.state !== 'whole') return root.rate;
  if (leaderRate !== undefined) return leaderRate;
  const rates = root.children.map(({ rate }) => rate ?? 0);
  return rates.length === 0 ? undefined : Math.max(...rates);
}

/** It gets, or got, so much less than its tree's root that it holds up its children. */
export function isSlow(puller: Puller, reference: number | undefined): boolean {
  if (puller.state !== 'follows' && puller.state !== 'whole') return false;
  if (puller.rate === undefined || reference === undefined) return false;
  return puller.rate < SLOW_PART * reference;
}

/** The one that all bytes of this puller come through. */
export function rootOf(puller: Puller): Puller {
  let root = puller;
  while (root.parent !== undefined) root = root.parent;
  return root;
}

/** Notes how far the puller is, and how fast it gets there. */
export function measure(puller: Puller, have: number, now: number): void {
  const more = Math.max(0, have - puller.have);
  puller.have += more;
  const { marks } = puller;
  const last = marks.at(-1);
  // Its first bytes may take long through many hosts: its rate is measured from then on.
  if (last === undefined ? more === 0 : now - last.at < MIN_RATE_SPAN_MS) return;
  // A new connection needs a moment, which is not its rate.
  if (now - puller.assignedAt < MIN_RATE_SPAN_MS) return;
  marks.push({ at: now, have: puller.have });
  if (marks.length > MAX_RATE_MARKS) marks.shift();
  const first = marks[0];
  if (first === undefined || marks.length < 2) return;
  puller.rate = ((puller.have - first.have) * 1000) / (now - first.at);
}

/** It is slow, and so is its source: the cause is further up, and another source is faster. */
export function isHeldUp(puller: Puller, leaderRate: number | undefined): boolean {
  if (puller.parent === undefined) return false;
  const rate = referenceRate(rootOf(puller), leaderRate);
  return isSlow(puller, rate) && isSlow(puller.parent, rate);
}
