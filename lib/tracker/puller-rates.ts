import type { Puller } from './pullers.ts';

/** Below this part of what arrives at the root, one is slow. Two children on a full link get a half each. */
const SLOW = 0.45;

/**
 * Bytes a second that others are measured against: what comes into a tree at its root, or came from the upstream to
 * the last that led, once the root has all of it. Undefined: not known.
 */
export function rateAt(root: Puller, led: number | undefined): number | undefined {
  if (root.state !== 'whole') return root.rate;
  if (led !== undefined) return led;
  const rates = root.children.map(({ rate }) => rate ?? 0);
  return rates.length === 0 ? undefined : Math.max(...rates);
}

/** It gets, or got, so much less than comes into its tree that those who get it from there are held up. */
export function isSlow(puller: Puller, reference: number | undefined): boolean {
  if (puller.state !== 'follows' && puller.state !== 'whole') return false;
  if (puller.rate === undefined || reference === undefined) return false;
  return puller.rate < SLOW * reference;
}

function rootOf(puller: Puller): Puller {
  let root = puller;
  while (root.parent !== undefined) root = root.parent;
  return root;
}

/** Between two reports less far apart than this, the rate says little. */
const MIN_SPAN_MS = 500;

/**
 * A rate is that of the last so many reports: a source that died and was replaced further up, which costs a little
 * more than one of them, makes nobody slow; one that is slow from the start shows after one.
 */
const MAX_MARKS = 4;

/** Takes down how far it is, and how fast. */
export function measure(puller: Puller, have: number, now: number): void {
  const more = Math.max(0, have - puller.have);
  puller.have += more;
  const { marks } = puller;
  const last = marks.at(-1);
  // Its first bytes may be long in coming through many hosts: its rate is what it has from then on.
  if (last === undefined ? more === 0 : now - last.at < MIN_SPAN_MS) return;
  // A connection needs a moment: what comes before it is not its rate.
  if (now - puller.assigned < MIN_SPAN_MS) return;
  marks.push({ at: now, have: puller.have });
  if (marks.length > MAX_MARKS) marks.shift();
  const first = marks[0];
  if (first === undefined || marks.length < 2) return;
  puller.rate = ((puller.have - first.have) * 1000) / (now - first.at);
}

/** Slow, and so is its source: the cause is further up, and it would be faster elsewhere. */
export function isHeldUp(puller: Puller, led: number | undefined): boolean {
  if (puller.parent === undefined) return false;
  const rate = rateAt(rootOf(puller), led);
  return isSlow(puller, rate) && isSlow(puller.parent, rate);
}
