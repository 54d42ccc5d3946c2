import {
  type Choice,
  chooseSource,
  isSound,
  type SourceRule,
  TreeRule,
  type Weights,
} from './choice.ts';
import {
  ANSWER_SETTLE_MS,
  EXPIRY_SWEEP_MS,
  MAX_ALTERNATES,
  MAX_FAILED,
  MAX_NAMED_SOURCES,
  MAX_PROVIDERS,
  MAX_PULLERS,
  MISSED_REPORTS,
  REPORT_MS,
  REPORTS_PER_SECOND,
  SMALL_WEIGHTS,
  WEIGHTS,
  WHOLE_MS,
  WITH_SLOW,
} from './constants.ts';
import { measure, referenceRate, rootOf } from './puller-rates.ts';
import { forgetRate, newPuller, type Puller, Pullers } from './pullers.ts';

/** A puller's question: which source has this digest? */
export interface SourceQuestion {
  /** The puller that asks. */
  readonly peer: string;
  /** Bytes that it has, from 0 on. */
  readonly have: number;
  /** Sources of this digest that it gave up, because they failed, stalled or were slow. */
  readonly failed: readonly string[];
  /** The content is small: every hop takes longer than its bytes. */
  readonly isSmall?: boolean;
}

/** What a puller tells about itself from time to time. */
export interface PullReport {
  readonly peer: string;
  readonly have: number;
  /** The peer that it gets its bytes from; undefined: the upstream. */
  readonly source: string | undefined;
}

/** A peer to get the content from. */
export interface AssignedSource {
  readonly peer: string;
  /** It has the whole content; otherwise it still downloads it. */
  readonly isWhole: boolean;
}

export type SourceAnswer =
  /** No other host has it or downloads it: get it from the upstream, and others will follow. */
  | { readonly role: 'lead' }
  /** Best first. `depth`: how many hosts pass the bytes on before the first of them. */
  | {
      readonly role: 'follow';
      readonly sources: readonly AssignedSource[];
      readonly depth: number;
    };

/**
 * Which hosts pull one digest, from which sources and how far they are, and which have it whole.
 * Decides which source the next puller gets. In memory, bounded and pure: entries expire, and time
 * comes in with each call (a monotonic clock in milliseconds).
 */
export interface Assignment {
  ask(question: SourceQuestion, providers: readonly string[], now: number): SourceAnswer;
  /** True: there is a better source for it by now, so it should ask again. */
  report(report: PullReport, now: number): boolean;
  /** It has the whole content now. */
  done(peer: string, now: number): void;
  /** It gave up. */
  gone(peer: string, now: number): void;
  /** Nothing is known any more: the assignment may be dropped. */
  isEmpty(now: number): boolean;
}

/**
 * Gives each puller of one digest its source. The first one leads; each later one follows the
 * source with the least of depth and children. A source that a puller gave up is not given to it
 * again, and to others only where there is no other. A leader that its own child gave up leads no
 * longer.
 */
export class DigestAssignment implements Assignment {
  readonly #pullers: Pullers;
  readonly #weights: Weights;
  readonly #rule: SourceRule;
  #sweptAt = Number.NEGATIVE_INFINITY;
  /** Entries in the state `named`, as of the last sweep and those since. */
  #named = 0;

  constructor(weights: Weights = WEIGHTS, limit = MAX_PULLERS, rule?: SourceRule) {
    this.#weights = weights;
    this.#rule = rule ?? new TreeRule(weights);
    this.#pullers = new Pullers(limit);
  }

  /** How often a puller is to report, in milliseconds: less often when there are very many. */
  get reportIntervalMs(): number {
    return Math.max(REPORT_MS, (this.#pullers.size / REPORTS_PER_SECOND) * 1000);
  }

  /** Pullers and providers that are remembered. */
  get size(): number {
    return this.#pullers.size;
  }

  ask(question: SourceQuestion, providers: readonly string[], now: number): SourceAnswer {
    this.#sweep(now);
    this.#enterProviders(providers, question.peer, now);
    const asker = this.#enterAsker(question, now);
    const failed = new Set(question.failed.slice(0, MAX_FAILED));
    this.#accuse(asker, failed);
    const held = this.#rule.isHeldUp(asker, this.#pullers.leaderRate);
    const weights = question.isSmall ? SMALL_WEIGHTS : this.#weights;
    const rule = question.isSmall ? SMALL_RULE : this.#rule;
    const choice =
      this.#keep(asker, failed) ?? chooseSource(this.#pullers, asker, failed, rule, held);
    asker.assignedAt = now;
    if (choice === undefined) {
      this.#lead(asker);
      return { role: 'lead' };
    }
    const { puller, depth } = choice;
    // An asker without an entry, for lack of room, would count as its source's child for ever.
    if (this.#pullers.get(asker.peer) === asker) this.#pullers.attach(asker, puller);
    return { role: 'follow', sources: this.#sources(puller, asker, failed, weights), depth };
  }

  /** True: its source is held up by a host further up, and there is a better one. */
  report(report: PullReport, now: number): boolean {
    this.#sweep(now);
    const puller = this.#pullers.enter(report.peer, now);
    if (puller === undefined) return false;
    puller.seenAt = now;
    // It has said that it is done; a report from before that may arrive later.
    if (puller.state === 'whole') return false;
    if (puller.state === 'named') puller.state = 'stray';
    const hasMore = report.have > puller.have;
    measure(puller, report.have, now);
    if (puller.state === 'leads')
      this.#pullers.leaderRate = puller.rate ?? this.#pullers.leaderRate;
    const isSettled = report.source !== undefined && report.source === puller.parent?.peer;
    if (!isSettled && now - puller.assignedAt < ANSWER_SETTLE_MS) return false;
    if (report.source !== undefined) this.#fromSource(puller, report.source, now);
    // A follower without a byte may not name its source yet: that does not make it a leader.
    else if (hasMore || puller.state !== 'follows') this.#fromUpstream(puller);
    if (!this.#rule.isHeldUp(puller, this.#pullers.leaderRate)) return false;
    const choice = chooseSource(this.#pullers, puller, NONE, this.#rule, true);
    return choice !== undefined && isSound(choice) && choice.puller !== puller.parent;
  }

  /** It gets the content from the upstream from now on, whatever this assignment would say. */
  lead(peer: string, now: number): void {
    const puller = this.#pullers.enter(peer, now);
    if (puller === undefined) return;
    puller.assignedAt = now;
    this.#lead(puller);
  }

  /** What this puller gets against what its source and its tree's root get, where known. */
  sharesOf(peer: string): { ofSource?: number; ofRoot?: number } {
    const puller = this.#pullers.get(peer);
    const { rate, parent } = puller ?? {};
    if (puller === undefined || rate === undefined || parent === undefined) return {};
    const { leaderRate } = this.#pullers;
    const source = parent.state === 'whole' ? leaderRate : parent.rate;
    const root = referenceRate(rootOf(puller), leaderRate);
    return {
      ...(source ? { ofSource: rate / source } : {}),
      ...(root ? { ofRoot: rate / root } : {}),
    };
  }

  /** The pullers that get their bytes from this one. */
  childrenOf(peer: string): readonly Puller[] {
    return this.#pullers.get(peer)?.children ?? [];
  }

  has(peer: string): boolean {
    return this.#pullers.get(peer) !== undefined;
  }

  done(peer: string, now: number): void {
    this.#sweep(now);
    const puller = this.#pullers.enter(peer, now);
    if (puller === undefined) return;
    this.#pullers.detach(puller);
    puller.state = 'whole';
    puller.seenAt = now;
    // What others gave up was the download; a complete blob is another source.
    puller.accusers.clear();
  }

  gone(peer: string, now: number): void {
    this.#sweep(now);
    const puller = this.#pullers.get(peer);
    if (puller !== undefined) this.#pullers.remove(puller);
  }

  isEmpty(now: number): boolean {
    this.#sweep(now);
    return this.#pullers.size === 0;
  }

  #lead(puller: Puller): void {
    this.#pullers.detach(puller);
    if (puller.state !== 'leads') forgetRate(puller);
    puller.state = 'leads';
    // What others gave up was its waiting for a source.
    puller.accusers.clear();
  }

  #sweep(now: number): void {
    if (now - this.#sweptAt < EXPIRY_SWEEP_MS) return;
    this.#sweptAt = now;
    this.#pullers.expire(now, MISSED_REPORTS * this.reportIntervalMs, WHOLE_MS);
    this.#named = 0;
    for (const { state } of this.#pullers.all()) if (state === 'named') this.#named += 1;
  }

  #enterProviders(providers: readonly string[], asker: string, now: number): void {
    for (const peer of providers.slice(0, MAX_PROVIDERS)) {
      // The record may be older than what the peer says: that it downloads the content.
      const known = this.#pullers.get(peer);
      if (peer === asker || (known !== undefined && known.state !== 'named')) continue;
      const provider = this.#pullers.enter(peer, now);
      if (provider === undefined) return;
      provider.state = 'whole';
      provider.seenAt = now;
    }
  }

  #enterAsker(question: SourceQuestion, now: number): Puller {
    const { peer, have } = question;
    const asker = this.#pullers.enter(peer, now) ?? newPuller(peer, now);
    // It starts anew: its children cannot go on.
    if (have < asker.have / 2) this.#pullers.abandon(asker);
    if (have < asker.have) forgetRate(asker);
    if (asker.state === 'whole' || asker.state === 'named') asker.state = 'stray';
    asker.have = have;
    asker.seenAt = now;
    return asker;
  }

  #accuse(asker: Puller, failed: ReadonlySet<string>): void {
    for (const peer of failed) {
      const source = this.#pullers.get(peer);
      if (source === undefined || source === asker) continue;
      const isItsOwn = asker.parent === source;
      if (isItsOwn) this.#pullers.detach(asker);
      // The asker waited for it before it led. If that counted, all would lead one after the other.
      const isOldNews = !isItsOwn || source.assignedAt > asker.assignedAt;
      if (source.state === 'leads' && isOldNews) continue;
      this.#pullers.accuse(source, asker.peer);
      if (!isItsOwn) continue;
      // Its tree gets no bytes. If it counted as fed, two pullers would wait for each other.
      if (source.state === 'leads') source.state = 'stray';
    }
  }

  /** The source of before, as long as it is a good one. */
  #keep(asker: Puller, failed: ReadonlySet<string>): Choice | undefined {
    const { parent } = asker;
    if (parent === undefined || failed.has(parent.peer) || parent.state === 'named')
      return undefined;
    let depth = 0;
    let root = parent;
    for (; root.parent !== undefined; root = root.parent) depth += 1;
    const isAhead = parent.state === 'whole' || parent.have >= asker.have;
    return root.state === 'stray' ||
      !isAhead ||
      this.#rule.isHeldUp(asker, this.#pullers.leaderRate)
      ? undefined
      : { puller: parent, depth, trust: 0 };
  }

  /**
   * The assigned source, and beside one that has the whole content a few others of that kind. A
   * source that still downloads stands alone: the leader would win each race for the first byte,
   * and all pullers would follow it.
   */
  #sources(
    assigned: Puller,
    asker: Puller,
    failed: ReadonlySet<string>,
    { maxChildren }: Weights,
  ): AssignedSource[] {
    const sources = [assigned];
    for (const puller of assigned.state === 'whole' ? this.#pullers.all() : []) {
      if (sources.length > MAX_ALTERNATES) break;
      const isFit = puller !== asker && puller !== assigned && !failed.has(puller.peer);
      const isRoom = puller.children.length < WITH_SLOW * maxChildren;
      const isWhole = puller.state === 'whole' && puller.accusers.size === 0;
      if (isFit && isRoom && isWhole) sources.push(puller);
    }
    return sources.map(({ peer, state }) => ({ peer, isWhole: state === 'whole' }));
  }

  #fromUpstream(puller: Puller): void {
    this.#pullers.detach(puller);
    if (puller.state !== 'leads') forgetRate(puller);
    // A leader that its own child gave up does not lead again: another one leads by now.
    puller.state = puller.accusers.size === 0 ? 'leads' : 'stray';
  }

  #fromSource(puller: Puller, peer: string, now: number): void {
    const known = this.#pullers.get(peer);
    if (known === undefined && this.#named >= MAX_NAMED_SOURCES) return;
    const source = known ?? this.#pullers.enter(peer, now);
    if (source === undefined) return;
    if (known === undefined) {
      source.state = 'named';
      this.#named += 1;
    }
    if (source.state === 'named') source.seenAt = now;
    // Refused if it closes a circle: then the report is from before one of the two got its source.
    this.#pullers.attach(puller, source);
  }
}

const NONE: ReadonlySet<string> = new Set();
const SMALL_RULE = new TreeRule(SMALL_WEIGHTS);
