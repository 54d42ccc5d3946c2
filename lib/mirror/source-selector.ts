import type { FailureKind } from '../http/peer-failure.ts';
import type { Watch } from '../http/raw-exchange.ts';
import type { Digest } from '../oci/digest.ts';
import type { ResolvedAnswer } from '../tracker/inflight-sharing.ts';
import type { Candidates } from './candidates.ts';
import type { Fleet } from './fleet.ts';
import { staggerMs } from './inflight-times.ts';
import { watchInflight } from './inflight-watch.ts';
import type { PeerEndpoint } from './peer-health.ts';
import { type FailedAttempt, HEDGE_BOUND_MS, type RaceBounds } from './race.ts';

/** Where the tracker sends this host; `plain` is without its word: whoever the lookup names. */
export type PullRole = 'plain' | 'lead' | 'follow';

/** When a race is run: for the first byte, for it once more with others, or in the middle of a body. */
export type RaceStage = 'first' | 'again' | 'middle';

/** What is kept back of a wait for a first source that gives nothing, so that a second one can be tried. */
const SECOND_TRY_MS = 400;

/** Who is further from the leader tries so much later, when those before him have found another. */
const BEHIND_MS = 250;

/** In the middle of a body: a second together with the silence before, and what asking the tracker takes. */
const MIDDLE_MS = 400;

/**
 * Asks the tracker of one digest, for the time of one request: whom to get it from, how long that is worth waiting
 * for, and whom next when that one gave nothing.
 */
export class SourceSelector {
  readonly #fleet: Fleet;
  readonly #digest: Digest | undefined;
  readonly #isSmall: boolean;
  readonly #failed = new Set<string>();
  readonly #isWhole = new Map<string, boolean>();
  /** When the first answer came: how long a tracker takes is bounded by itself, and must not shorten the wait. */
  #startedAt: number | undefined;
  /** Until when the first byte is waited for since other contents were to blame. */
  #starvedUntil = 0;
  readonly candidates: Candidates;
  /** Somebody was waited for. */
  #hasWaited = false;
  /** Bytes came from somebody who was still getting them: counted once. */
  #isServed = false;
  #hasAskedTwice = false;
  #role: PullRole = 'plain';
  #depth = 0;

  /** Without a `digest`, which of a tag is not known yet, there is no tracker to ask. `isSmall` as far as is known. */
  constructor(
    fleet: Fleet,
    { digest, isSmall }: { readonly digest: Digest | undefined; readonly isSmall: boolean },
    candidates: Candidates,
  ) {
    this.#fleet = fleet;
    this.#digest = digest;
    this.#isSmall = isSmall;
    this.candidates = candidates;
  }

  /**
   * Judges a peer that may still be getting the content itself: one that the tracker named for this host to follow.
   * Undefined for all others, who are asked for what they have whole: a leader that followed somebody might follow
   * one of its own followers.
   */
  watch(endpoint: PeerEndpoint, path: string, signal: AbortSignal): Watch | undefined {
    const { peerHealth, suspects } = this.#fleet;
    if (!this.#isWhole.has(endpoint.peerId) || peerHealth.hasMisled(endpoint)) return undefined;
    if (suspects.isAlarmed) return undefined;
    const stallMs = this.#waitMs + staggerMs(this.#depth);
    const isStarved = (silentMs: number) => this.#isStarved(silentMs);
    return watchInflight(endpoint, path, { asker: this.#fleet, stallMs, isStarved }, signal);
  }

  /** Asks whom to get the bytes from `have` on from; the holders know them then. */
  async ask(have: number, signal: AbortSignal): Promise<PullRole> {
    const guidance = await this.#join(have, signal);
    this.#startedAt ??= performance.now();
    this.#role = guidance?.role ?? 'plain';
    this.#depth = 0;
    this.#isWhole.clear();
    if (guidance?.role === 'follow') {
      this.#depth = guidance.depth;
      for (const { candidate, isWhole } of guidance.sources) {
        this.#isWhole.set(candidate.peerId, isWhole);
      }
      this.candidates.putFirst(guidance.sources.map(({ candidate }) => candidate));
    }
    if (guidance?.role === 'lead') this.#fleet.instruments.inflightLeads.inc({});
    return this.#role;
  }

  async #join(have: number, signal: AbortSignal): Promise<ResolvedAnswer | undefined> {
    if (this.#digest === undefined) return undefined;
    const failed = [...this.#failed];
    const question = { digest: this.#digest, have, failed, isSmall: this.#isSmall };
    return this.#fleet.sharing?.client.join(question, signal);
  }

  /** How long a race may take: longer where somebody is worth waiting for. */
  bounds(stage: RaceStage): RaceBounds {
    const { bounds } = this.#fleet;
    if (!this.#isGrowingNamed) return bounds;
    const isPatient = (peerId: string) => this.#isWhole.get(peerId) === false;
    if (!this.#waits) return { ...bounds, isPatient };
    this.#hasWaited = true;
    const leftMs = this.#leftMs - HEDGE_BOUND_MS;
    const firstMs = leftMs - SECOND_TRY_MS + (this.#depth === 0 ? 0 : BEHIND_MS);
    const waitMs = { first: firstMs, again: leftMs, middle: MIDDLE_MS }[stage];
    const resolveTimeoutMs = Math.max(bounds.resolveTimeoutMs, waitMs);
    // In the middle of a body another source is asked meanwhile; only the first byte has nobody else to come from.
    if (stage === 'middle') return { ...bounds, resolveTimeoutMs, isPatient };
    return { ...bounds, resolveTimeoutMs, isPatient, mayWaitOn: () => this.#mayWaitOn() };
  }

  /** How long the content may take to be here whole, where that is `usualMs` otherwise. */
  wholeMs(usualMs: number): number {
    return this.#waits ? Math.max(usualMs, this.#leftMs) : usualMs;
  }

  /** A race gave nothing: is it worth asking for others? `tried`: who failed in it. */
  again(tried: readonly FailedAttempt[]): boolean {
    if (this.#role === 'plain') return this.#asksTwice();
    if (this.#role === 'lead') return false;
    // Not on all who were named: one that waited for the same leader may lead itself by now.
    const [assigned] = this.#isWhole.keys();
    if (assigned !== undefined) this.gaveUp(assigned, 'stalled');
    for (const { peerId, result } of tried) {
      // One that has it all and was not asked again when it gave nothing may just be busy.
      const isBusy = result === 'silent' && this.#isWhole.get(peerId) === true;
      if (this.isNamed(peerId)) this.gaveUp(peerId, isBusy ? 'slow' : result);
    }
    // Who does not wait must not do so by asking one after the other.
    const unwaitedMs = this.#waitMs - this.#fleet.bounds.resolveTimeoutMs;
    return this.#leftMs > SECOND_TRY_MS / 4 + (this.#areWaitsOff ? unwaitedMs : 0);
  }

  /** No tracker answered in time, and nobody has it: a busy one has had the time by now. Once, it may be away. */
  #asksTwice(): boolean {
    const isTracked = this.#digest !== undefined && this.#fleet.sharing !== undefined;
    const isFirst = !this.#hasAskedTwice;
    this.#hasAskedTwice = true;
    return isTracked && isFirst;
  }

  /** Nobody gave the content, so this host's containerd is sent to the upstream. Why, for its log. */
  missed(what: 'blob' | 'manifest'): string {
    this.took(undefined);
    // Who said no at once has cost no wait.
    if (this.#hasWaited && this.#leftMs < this.#waitMs / 2) {
      this.#fleet.sharing?.waits.switchOff();
      this.#fleet.instruments.inflightWaits.inc({ result: 'vain' });
    }
    if (this.#role !== 'lead') return `no peer has this ${what}`;
    return `nobody has this ${what} yet: this host gets it from the upstream, and others from this host`;
  }

  /** This peer is not to be named again. */
  gaveUp(peerId: string, kind: FailureKind): void {
    this.#failed.add(peerId);
    this.candidates.spend(peerId);
    if (IS_DEAD.has(kind)) this.#fleet.sharing?.client.wasSilent(peerId);
  }

  /** The bytes come from this peer now; undefined: from the upstream. */
  took(peerId: string | undefined): void {
    if (this.#digest !== undefined) this.#fleet.sharing?.client.source(this.#digest, peerId);
    if (peerId === undefined || this.#isWhole.get(peerId) !== false || this.#isServed) return;
    this.#isServed = true;
    this.#fleet.instruments.inflightWaits.inc({ result: 'served' });
  }

  /** The tracker knows a better source than the one of now; said once. */
  get isHeldUp(): boolean {
    const { sharing } = this.#fleet;
    return this.#digest !== undefined && sharing?.client.isHeldUp(this.#digest) === true;
  }

  /** Whether the tracker's last answer has this peer. */
  isNamed(peerId: string): boolean {
    return this.#isWhole.has(peerId);
  }

  /** Why the bytes come from this peer, for the log. */
  why(peerId: string): string {
    const isWhole = this.#isWhole.get(peerId);
    if (isWhole === undefined) return 'found by lookup';
    if (isWhole) return 'named by the tracker, has all of it';
    return `named by the tracker, still gets it itself, hosts between it and the first: ${this.#depth}`;
  }

  /** Somebody was named who is only getting it himself. */
  get #isGrowingNamed(): boolean {
    return [...this.#isWhole.values()].includes(false);
  }

  /** This host waits for such. */
  get #waits(): boolean {
    return this.#isGrowingNamed && !this.#areWaitsOff;
  }

  get #areWaitsOff(): boolean {
    return this.#fleet.sharing?.waits.isOff !== false;
  }

  get #waitMs(): number {
    return this.#fleet.sharing?.settings.inflightWaitMs ?? 0;
  }

  /** What is left of the wait for the first byte. */
  get #leftMs(): number {
    return Math.max(this.#waitMs - this.#waitedMs, this.#starvedUntil - performance.now());
  }

  /** The first byte is due. True: ask again in a moment. */
  #mayWaitOn(): boolean {
    if (!this.#isStarved(this.#waitedMs)) return false;
    this.#starvedUntil = performance.now() + 2 * SECOND_TRY_MS;
    return true;
  }

  get #waitedMs(): number {
    const now = performance.now();
    return now - (this.#startedAt ?? now);
  }

  /**
   * Other contents take what this host's link gives, so waiting costs nothing; and who is asked instead would have
   * the same link. TCP shares a full one unevenly: of four layers one may get next to nothing until the others end.
   */
  #isStarved(silentMs: number): boolean {
    const { sharing } = this.#fleet;
    if (sharing === undefined || this.#isSmall || !this.#waits) return false;
    const flow = sharing.client.flow();
    const isBusy = flow > 0 && flow >= sharing.leastRate;
    return isBusy && silentMs < sharing.settings.starvedWaitMs;
  }
}

/** What a peer that does not live any more looks like. */
const IS_DEAD: ReadonlySet<FailureKind> = new Set(['unreachable', 'silent', 'reset']);
