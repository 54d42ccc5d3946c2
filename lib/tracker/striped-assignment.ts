import { type AssignedSource, DigestAssignment } from './assignment.ts';
import { MAX_PULLERS, SLOW_PART, WEIGHTS } from './constants.ts';
import { StripeRoles } from './stripe-roles.ts';
import { StripeRule, type StripeWidth } from './stripe-rule.ts';

/** A host that has as much more of one stripe than of another may wait for the other. */
const AHEAD_BYTES = 4 * 1024 * 1024;

/** A puller's question: which sources have the stripes of this digest? */
export interface StripedQuestion {
  readonly peer: string;
  /** Bytes that it has of each stripe, from the stripe's first on. */
  readonly have: readonly number[];
  /** Sources of this digest that it gave up. */
  readonly failed: readonly string[];
  /** The stripes that it needs a source for. */
  readonly stripes: readonly number[];
}

export interface StripedReport {
  readonly peer: string;
  readonly have: readonly number[];
  /** It found that its own link is much slower than its sources. */
  readonly isSlow?: boolean;
  /** By stripe, the peer that it comes from; undefined: the upstream. */
  readonly sources: readonly (string | undefined)[];
}

export interface StripeSource extends AssignedSource {
  readonly stripe: number;
  /** How many hosts pass the stripe on before this one. */
  readonly depth: number;
}

export type StripedAnswer =
  | { readonly role: 'lead' }
  | { readonly role: 'follow'; readonly sources: readonly StripeSource[] };

/**
 * Gives each puller of one digest a source for each stripe. Each stripe has a forest of its own,
 * without cycles; a host passes on in one stripe only, and a leader in all. In memory, bounded and
 * pure, as `Assignment`.
 */
export class StripedAssignment {
  readonly #roles: StripeRoles;
  readonly #forests: readonly DigestAssignment[];

  constructor(stripes: number, width: StripeWidth, limit = MAX_PULLERS) {
    const roles = new StripeRoles(stripes, limit);
    this.#roles = roles;
    this.#forests = Array.from({ length: stripes }, (_, stripe) => {
      const elsewhere = (peer: string) => this.#loadBut(stripe, peer);
      return new DigestAssignment(WEIGHTS, limit, new StripeRule(stripe, roles, width, elsewhere));
    });
  }

  get reportIntervalMs(): number {
    return this.#forest(0).reportIntervalMs;
  }

  ask(question: StripedQuestion, providers: readonly string[], now: number): StripedAnswer {
    const { peer, have, failed, stripes } = question;
    this.#roles.enter(peer, (known) => this.#forest(0).has(known));
    const sources: StripeSource[] = [];
    for (const stripe of stripes) {
      const part = { peer, have: have[stripe] ?? 0, failed };
      const answer = this.#forest(stripe).ask(part, providers, now);
      if (answer.role === 'lead') return this.#lead(peer, now);
      const [first] = answer.sources;
      if (first !== undefined) sources.push({ ...first, stripe, depth: answer.depth });
    }
    return { role: 'follow', sources };
  }

  /** The stripes that there is a better source for by now, so that it should ask again. */
  report({ peer, have, sources, isSlow }: StripedReport, now: number): number[] {
    const again = this.#forests.flatMap((forest, stripe) => {
      const part = { peer, have: have[stripe] ?? 0, source: sources[stripe] };
      return forest.report(part, now) ? [stripe] : [];
    });
    if (isSlow !== undefined) this.#roles.setSlow(peer, isSlow);
    else this.#judge(peer, have);
    return again;
  }

  done(peer: string, now: number): void {
    for (const forest of this.#forests) forest.done(peer, now);
  }

  gone(peer: string, now: number): void {
    this.#roles.delete(peer);
    for (const forest of this.#forests) forest.gone(peer, now);
  }

  isEmpty(now: number): boolean {
    return this.#forests.every((forest) => forest.isEmpty(now));
  }

  /**
   * Whether this host is too slow to pass on: it gets much less of its stripe than its source has.
   * One that waits for its source is not, and one that is held up in another stripe reads no
   * further in this one.
   */
  #judge(peer: string, have: readonly number[]): void {
    const stripe = this.#roles.stripeOf(peer);
    if (stripe === undefined) return;
    const { ofSource, ofRoot } = this.#forest(stripe).sharesOf(peer);
    if (this.#roles.isSlow(peer)) {
      if (ofRoot !== undefined && ofRoot >= SLOW_PART) this.#roles.setSlow(peer, false);
      return;
    }
    const ahead = (have[stripe] ?? 0) - Math.min(...have);
    if (ofSource !== undefined && ofSource < SLOW_PART && ahead < AHEAD_BYTES)
      this.#roles.setSlow(peer, true);
  }

  /** A leader that had the stripes from different trees would be waited for in all of them. */
  #lead(peer: string, now: number): StripedAnswer {
    this.#roles.lead(peer);
    for (const forest of this.#forests) forest.lead(peer, now);
    return { role: 'lead' };
  }

  #loadBut(stripe: number, peer: string): number {
    let load = 0;
    for (const [other, forest] of this.#forests.entries()) {
      if (other === stripe) continue;
      for (const child of forest.childrenOf(peer)) load += this.#roles.weightOf(child);
    }
    return load;
  }

  #forest(stripe: number): DigestAssignment {
    return this.#forests[stripe] as DigestAssignment;
  }
}
