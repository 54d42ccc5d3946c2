import { type Choice, chooseSource, isSound, type Weights, WITH_SLOW } from './choice.ts';
import { isHeldUp, measure } from './puller-rates.ts';
import { forgetRate, newPuller, type Puller, Pullers } from './pullers.ts';

/** A puller's question: where do I get this digest from? */
export interface SourceQuestion {
  /** Who asks. */
  readonly peer: string;
  /** Bytes that it has, from 0 on. */
  readonly have: number;
  /** Sources of this digest that it gave up on, since they failed, stalled or were slow. */
  readonly failed: readonly string[];
  /** It is of little size: every hop takes longer than the bytes. */
  readonly isSmall?: boolean;
}

/** What a puller tells about itself from time to time. */
export interface PullReport {
  readonly peer: string;
  readonly have: number;
  /** Whom it gets its bytes from; undefined: from the upstream. */
  readonly source: string | undefined;
}

/** Whom to get it from. */
export interface AssignedSource {
  readonly peer: string;
  /** It has all of it; otherwise it is getting it itself. */
  readonly isWhole: boolean;
}

export type SourceAnswer =
  /** Nobody has it or is getting it: from the upstream, and others will follow. */
  | { readonly role: 'lead' }
  /** Best first; `depth` is how many hosts pass the bytes on before the first of them, 0 for a whole one. */
  | {
      readonly role: 'follow';
      readonly sources: readonly AssignedSource[];
      readonly depth: number;
    };

/**
 * Who pulls one digest, from whom, how far, and who has it whole: decides from whom the next one gets it. In
 * memory, bounded, expiring, pure: time comes in with each call (a monotonic clock, milliseconds).
 */
export interface Assignment {
  ask(question: SourceQuestion, holders: readonly string[], now: number): SourceAnswer;
  /** True: there is a better source for it by now, it should ask again. */
  report(report: PullReport, now: number): boolean;
  /** It has all of it now. */
  done(peer: string, now: number): void;
  /** It gave up. */
  gone(peer: string, now: number): void;
  /** Nothing is known any more: may be dropped. */
  isEmpty(now: number): boolean;
}

/** Numbers of the rule; see choice.ts. */
const WEIGHTS: Weights = { maxChildren: 2, child: 16 };
/** What is small takes no time on any link, but each hop does: a flat tree. */
const SMALL_WEIGHTS: Weights = { maxChildren: 16, child: 0.1 };

/** Pullers and holders of one digest that are remembered. */
const MAX_PULLERS = 10_000;
/** Provider records that are looked at: more sources than that change nothing. */
const MAX_HOLDERS = 64;
/** Sources that said nothing themselves yet; anybody can make up as many as he likes. */
const MAX_NAMED = 256;
/** Longest list of failed sources that is read; beyond it only a liar gets. */
const MAX_FAILED = 64;
/** So many alternates beside the assigned source. */
const MAX_ALTERNATES = 2;

const WHOLE_MS = 600_000;
const MIN_INTERVAL_MS = 1000;
/** A puller that missed as many reports is gone. */
const MISSED_REPORTS = 3;
/** Reports a second that a tracker takes for one digest. */
const REPORTS_PER_SECOND = 1000;
/** Expired entries are looked for so often, not at every call: that walks over all of them. */
const SWEEP_MS = 250;

/** A report that left before the answer to a question arrived still names the source of before. */
const SETTLE_MS = 1500;

/**
 * Tells the pullers of one digest from whom to get it. The first leads; each later one follows the source with the
 * least of depth and children. A source that somebody gave up on is not given to that one again, and to others only
 * where there is no other; a leader that its own child gave up on leads no longer.
 */
export class DigestAssignment implements Assignment {
  readonly #pullers: Pullers;
  readonly #weights: Weights;
  #swept = Number.NEGATIVE_INFINITY;
  /** Entered as somebody's source since the last sweep, and at that. */
  #named = 0;

  constructor(weights: Weights = WEIGHTS, limit = MAX_PULLERS) {
    this.#weights = weights;
    this.#pullers = new Pullers(limit);
  }

  /** How often a puller is to report, milliseconds: less often when there are very many. */
  get reportInterval(): number {
    return Math.max(MIN_INTERVAL_MS, (this.#pullers.size / REPORTS_PER_SECOND) * 1000);
  }

  /** Pullers and holders that are remembered. */
  get size(): number {
    return this.#pullers.size;
  }

  ask(question: SourceQuestion, holders: readonly string[], now: number): SourceAnswer {
    this.#sweep(now);
    this.#enterHolders(holders, question.peer, now);
    const asker = this.#enterAsker(question, now);
    const failed = new Set(question.failed.slice(0, MAX_FAILED));
    this.#accuse(asker, failed);
    const held = isHeldUp(asker, this.#pullers.led);
    const weights = question.isSmall ? SMALL_WEIGHTS : this.#weights;
    const choice =
      this.#keep(asker, failed) ?? chooseSource(this.#pullers, asker, failed, weights, held);
    asker.assigned = now;
    if (choice === undefined) {
      this.#pullers.detach(asker);
      if (asker.state !== 'leads') forgetRate(asker);
      asker.state = 'leads';
      // What others gave up on was its waiting.
      asker.accusers.clear();
      return { role: 'lead' };
    }
    const { puller, depth } = choice;
    // One that found no room here has no entry: it must not hang on a source that would count it for ever.
    if (this.#pullers.get(asker.peer) === asker) this.#pullers.attach(asker, puller);
    return { role: 'follow', sources: this.#sources(puller, asker, failed, weights), depth };
  }

  /** True: its source is held up by one further up, and there is a better one: it should ask again. */
  report(report: PullReport, now: number): boolean {
    this.#sweep(now);
    const puller = this.#pullers.enter(report.peer, now);
    if (puller === undefined) return false;
    puller.seen = now;
    // It told that it is done; what it said before that may arrive later.
    if (puller.state === 'whole') return false;
    if (puller.state === 'named') puller.state = 'stray';
    const isGrowing = report.have > puller.have;
    measure(puller, report.have, now);
    if (puller.state === 'leads') this.#pullers.led = puller.rate ?? this.#pullers.led;
    if (now - puller.assigned < SETTLE_MS) return false;
    if (report.source !== undefined) this.#fromSource(puller, report.source, now);
    // A follower that has no byte yet may not name its source yet: that alone makes no second leader.
    else if (isGrowing || puller.state !== 'follows') this.#fromUpstream(puller);
    if (!isHeldUp(puller, this.#pullers.led)) return false;
    const choice = chooseSource(this.#pullers, puller, NOBODY, this.#weights, true);
    return choice !== undefined && isSound(choice);
  }

  done(peer: string, now: number): void {
    this.#sweep(now);
    const puller = this.#pullers.enter(peer, now);
    if (puller === undefined) return;
    this.#pullers.detach(puller);
    puller.state = 'whole';
    puller.seen = now;
    // What others gave up on was the transfer; from a finished blob there is another.
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

  #sweep(now: number): void {
    if (now - this.#swept < SWEEP_MS) return;
    this.#swept = now;
    this.#pullers.expire(now, MISSED_REPORTS * this.reportInterval, WHOLE_MS);
    this.#named = 0;
    for (const { state } of this.#pullers.all()) if (state === 'named') this.#named += 1;
  }

  #enterHolders(holders: readonly string[], asker: string, now: number): void {
    for (const peer of holders.slice(0, MAX_HOLDERS)) {
      // A record may be older than what the peer itself says: that it is getting it.
      const known = this.#pullers.get(peer);
      if (peer === asker || (known !== undefined && known.state !== 'named')) continue;
      const holder = this.#pullers.enter(peer, now);
      if (holder === undefined) return;
      holder.state = 'whole';
      holder.seen = now;
    }
  }

  #enterAsker(question: SourceQuestion, now: number): Puller {
    const { peer, have } = question;
    const asker = this.#pullers.enter(peer, now) ?? newPuller(peer, now);
    // It starts anew: those that got it from there cannot go on.
    if (have < asker.have / 2) this.#pullers.abandon(asker);
    if (have < asker.have) forgetRate(asker);
    if (asker.state === 'whole' || asker.state === 'named') asker.state = 'stray';
    asker.have = have;
    asker.seen = now;
    return asker;
  }

  #accuse(asker: Puller, failed: ReadonlySet<string>): void {
    for (const peer of failed) {
      const source = this.#pullers.get(peer);
      if (source === undefined || source === asker) continue;
      const isItsOwn = asker.parent === source;
      if (isItsOwn) this.#pullers.detach(asker);
      // It was waited for in vain before it led: all would lead, one after the other, if that counted.
      const isOldNews = !isItsOwn || source.assigned > asker.assigned;
      if (source.state === 'leads' && isOldNews) continue;
      this.#pullers.accuse(source, asker.peer);
      if (!isItsOwn) continue;
      // Nobody who hangs on it gets bytes: they must not count as fed, or two would wait for each other.
      if (source.state === 'leads') source.state = 'stray';
    }
  }

  /** The same answer to the same question, as long as it is a good one. */
  #keep(asker: Puller, failed: ReadonlySet<string>): Choice | undefined {
    const { parent } = asker;
    if (parent === undefined || failed.has(parent.peer) || parent.state === 'named')
      return undefined;
    let depth = 0;
    let root = parent;
    for (; root.parent !== undefined; root = root.parent) depth += 1;
    const isAhead = parent.state === 'whole' || parent.have >= asker.have;
    return root.state === 'stray' || !isAhead || isHeldUp(asker, this.#pullers.led)
      ? undefined
      : { puller: parent, depth, trust: 0 };
  }

  /**
   * The assigned one, and beside a whole one other whole ones. Beside one that is getting it itself none: a race for the
   * first byte would be won by the leader each time, on which all would hang.
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
    // Given up on by its own child, it does not lead again: others lead by now.
    puller.state = puller.accusers.size === 0 ? 'leads' : 'stray';
  }

  #fromSource(puller: Puller, peer: string, now: number): void {
    const known = this.#pullers.get(peer);
    if (known === undefined && this.#named >= MAX_NAMED) return;
    const source = known ?? this.#pullers.enter(peer, now);
    if (source === undefined) return;
    if (known === undefined) {
      source.state = 'named';
      this.#named += 1;
    }
    if (source.state === 'named') source.seen = now;
    // Refused if it would close a circle: said before one of the two got another source, the next will fit.
    this.#pullers.attach(puller, source);
  }
}

const NOBODY: ReadonlySet<string> = new Set();
