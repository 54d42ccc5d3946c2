import { LEADER_START_MS } from './constants.ts';
import { rootOf } from './puller-rates.ts';
import type { Puller, Pullers } from './pullers.ts';

/**
 * Which of two hosts leads, when the first one gets less from the upstream than this registry gave
 * others lately. One of those that follow it goes upstream as well, at the byte that it has
 * reached, and the better of the two leads on. Never a third one: where the registry is slow for
 * all, each further one would make it slower.
 */
export class SlowLeader {
  readonly #pullers: Pullers;
  /** The one of the two that does not lead; it still gets the content from the upstream. */
  #left: Puller | undefined;

  constructor(pullers: Pullers) {
    this.#pullers = pullers;
  }

  /**
   * Whether the asker is to lead because another one leads slowly. It gets less than `wanted` bytes
   * per second; undefined: it does not complain. If the host that was left before is the better
   * one, that one leads again.
   */
  hasLead(asker: Puller, wanted: number | undefined, now: number): boolean {
    const leader = rootOf(asker);
    if (leader.state !== 'leads') return false;
    const isNew = now - leader.assignedAt < LEADER_START_MS;
    // Its containerd asks again before it goes upstream, and others may be ahead of it by then.
    if (leader === asker) return isNew && this.#stillLeft() !== undefined;
    if (isNew || wanted === undefined) return false;
    // The cause may be a host in between, or the asker's own link. A leader is known after 2 s.
    if (leader.rate === undefined || leader.rate >= wanted) return false;
    const other = this.#stillLeft();
    if (other !== undefined && !isBetter(other, leader)) return false;
    leader.state = 'stray';
    this.#pullers.accuse(leader, asker.peer);
    this.#left = leader;
    if (other === undefined) return !this.#isWholeSomewhere();
    other.state = 'leads';
    other.accusers.clear();
    other.assignedAt = now;
    return false;
  }

  /** It gets its bytes through the host that was left. */
  holdsUp(puller: Puller): boolean {
    const left = this.#stillLeft();
    return left !== undefined && puller !== left && rootOf(puller) === left;
  }

  #isWholeSomewhere(): boolean {
    for (const { state } of this.#pullers.all()) if (state === 'whole') return true;
    return false;
  }

  #stillLeft(): Puller | undefined {
    const left = this.#left;
    const isThere = left !== undefined && this.#pullers.get(left.peer) === left;
    return isThere && left.state === 'stray' && left.parent === undefined ? left : undefined;
  }
}

function isBetter(one: Puller, other: Puller): boolean {
  if (one.rate === undefined || other.rate === undefined) return false;
  return one.rate > other.rate && one.have >= other.have;
}

/**
 * What the registry of a digest gives, in bytes per second, as its pullers say: the second highest
 * figure, so that no single host can have the others leave good leaders. Undefined when fewer than
 * two know.
 */
export function usualRate(pullers: Pullers): number | undefined {
  let [first, second] = [0, 0];
  for (const { upstreamRate = 0 } of pullers.all()) {
    if (upstreamRate > first) [first, second] = [upstreamRate, first];
    else if (upstreamRate > second) second = upstreamRate;
  }
  return second === 0 ? undefined : second;
}
