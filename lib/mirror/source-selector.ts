import type { FailureKind } from '../http/peer-failure.ts';
import type { Watch } from '../http/peer-silence.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerEndpoint } from '../peers/endpoint.ts';
import type { ResolvedAnswer } from '../tracker/tracker-client.ts';
import { type Candidates, usableEndpoints } from './candidates.ts';
import { BEHIND_MS, HAND_OVER_WAIT_MS, RACE_HEDGE_BOUND_MS, SECOND_TRY_MS } from './constants.ts';
import type { Fleet } from './fleet.ts';
import { watchInflight } from './inflight-watch.ts';
import type { FailedAttempt, RaceBounds } from './race.ts';
import { staggerMs } from './sharing.ts';

/**
 * What the tracker has this host do: get the content from the upstream (`lead`), or from a peer
 * (`follow`). `plain`: no tracker answered, so the lookup alone names candidates.
 */
export type PullRole = 'plain' | 'lead' | 'follow';

/**
 * What a race is run for: the first byte, the first byte from other peers, or the rest of a body.
 */
export type RaceStage = 'first' | 'again' | 'middle';

/** A peer that fails like this does not live any more. */
const DEAD_KINDS: ReadonlySet<FailureKind> = new Set(['unreachable', 'silent', 'reset']);

/**
 * Chooses the sources of one request, with the help of the digest's tracker: which peers to ask,
 * how long to wait for one that still downloads the content, and whether to ask others when it gave
 * nothing.
 */
export class SourceSelector {
  readonly candidates: Candidates;
  readonly #fleet: Fleet;
  readonly #digest: Digest | undefined;
  readonly #isSmall: boolean;
  /** Peers that were given up for this request. */
  readonly #failed = new Set<string>();
  /** The sources of the tracker's last answer, best first: whether each has the whole content. */
  readonly #isWhole = new Map<string, boolean>();
  /** When the tracker first answered. Its own time is bounded, and must not shorten the wait. */
  #startedAt: number | undefined;
  /** Until when the first byte is waited for because other downloads took the link. */
  #starvedUntil = 0;
  #hasWaited = false;
  /** Bytes came from a peer that still downloaded them; counted once. */
  #isServed = false;
  #hasAskedTwice = false;
  #role: PullRole = 'plain';
  #depth = 0;

  /** Without a `digest` no tracker is asked: the digest of a tag is not known yet. */
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
   * Judges an endpoint that may still download the content: one that the tracker named for this
   * host to follow. Undefined for all others, which are asked only for what they have whole: a
   * leader that followed another peer might follow one of its own followers.
   */
  watch(endpoint: PeerEndpoint, path: string, signal: AbortSignal): Watch | undefined {
    const { peerHealth, suspects } = this.#fleet;
    if (!this.isNamed(endpoint.peerId) || peerHealth.isBarredInflight(endpoint)) return undefined;
    if (suspects.isAlarmed) return undefined;
    const stallMs = this.#waitMs + staggerMs(this.#depth);
    const isStarved = (silentMs: number) => this.#isStarved(silentMs);
    return watchInflight(endpoint, path, { asker: this.#fleet, stallMs, isStarved }, signal);
  }

  /** Asks the tracker for sources of the bytes from `have` on, and puts them before the others. */
  async ask(have: number, signal: AbortSignal): Promise<PullRole> {
    const answer = await this.#join(have, signal);
    this.#startedAt ??= performance.now();
    this.#role = answer?.role ?? 'plain';
    this.candidates.takesKeptMiss = this.#role === 'lead';
    this.#depth = 0;
    this.#isWhole.clear();
    if (answer?.role === 'follow') {
      this.#depth = answer.depth;
      for (const { candidate, isWhole } of answer.sources) {
        this.#isWhole.set(candidate.peerId, isWhole);
      }
      this.candidates.putFirst(answer.sources.map(({ candidate }) => candidate));
    }
    if (answer?.role === 'lead') this.#fleet.instruments.inflightLeads.inc({});
    return this.#role;
  }

  async #join(have: number, signal: AbortSignal): Promise<ResolvedAnswer | undefined> {
    if (this.#digest === undefined) return undefined;
    const failed = [...this.#failed];
    const request = { digest: this.#digest, have, failed, isSmall: this.#isSmall };
    return this.#fleet.sharing?.client.join(request, signal);
  }

  /**
   * Peers beside the present source that are to have the whole content, and that nothing is known
   * against, as they are found.
   */
  async *othersWithAll(current: string, signal: AbortSignal): AsyncGenerator<PeerEndpoint> {
    const { peerHealth, suspects } = this.#fleet;
    for await (const candidate of this.candidates.inOrder(signal, false)) {
      const { peerId } = candidate;
      if (peerId === current || this.#isWhole.get(peerId) === false) continue;
      const usable = usableEndpoints(candidate, peerHealth).find((one) => !suspects.has(one));
      if (usable !== undefined) yield usable;
    }
  }

  /** How long a race may take: longer where a peer that still downloads is worth waiting for. */
  bounds(stage: RaceStage): RaceBounds {
    const { bounds } = this.#fleet;
    if (!this.#isInflightNamed) return bounds;
    const mayBeSilent = (peerId: string) => this.#isWhole.get(peerId) === false;
    if (!this.#mayWait) return { ...bounds, mayBeSilent };
    this.#hasWaited = true;
    const leftMs = this.#leftMs - RACE_HEDGE_BOUND_MS;
    const firstMs = leftMs - SECOND_TRY_MS + (this.#depth === 0 ? 0 : BEHIND_MS);
    const waitMs = { first: firstMs, again: leftMs, middle: HAND_OVER_WAIT_MS }[stage];
    const resolveTimeoutMs = Math.max(bounds.resolveTimeoutMs, waitMs);
    // In the middle of a body another source is asked in time; the first byte has no other one.
    if (stage === 'middle') return { ...bounds, resolveTimeoutMs, mayBeSilent };
    const mayWaitLonger = () => this.#extendStarvedWait();
    return { ...bounds, resolveTimeoutMs, mayBeSilent, mayWaitLonger };
  }

  /**
   * In how many milliseconds the whole content has to be here, where that is `usualMs` otherwise.
   */
  wholeMs(usualMs: number): number {
    return this.#mayWait ? Math.max(usualMs, this.#leftMs) : usualMs;
  }

  /**
   * Gives up the peers that the tracker named, after a race in which the attempts `tried` failed.
   * True: the tracker is to be asked again, for others.
   */
  giveUpNamed(tried: readonly FailedAttempt[]): boolean {
    if (this.#role === 'plain') return this.#mayAskTwice();
    if (this.#role === 'lead') return false;
    // Only the first of those named: another that waited for the same leader may lead by now.
    const [assigned] = this.#isWhole.keys();
    if (assigned !== undefined) this.giveUp(assigned, 'stalled');
    for (const { peerId, result } of tried) {
      // A peer that has the whole content and was silent may just be busy.
      const isBusy = result === 'silent' && this.#isWhole.get(peerId) === true;
      if (this.isNamed(peerId)) this.giveUp(peerId, isBusy ? 'slow' : result);
    }
    // A host that does not wait must not do so by asking one source after the other.
    const unwaitedMs = this.#waitMs - this.#fleet.bounds.resolveTimeoutMs;
    return this.#leftMs > SECOND_TRY_MS / 4 + (this.#isWaitingOff ? unwaitedMs : 0);
  }

  /**
   * No tracker answered in time: a busy one has had the time by now. Once, because it may be away.
   */
  #mayAskTwice(): boolean {
    const isTracked = this.#digest !== undefined && this.#fleet.sharing !== undefined;
    const isFirst = !this.#hasAskedTwice;
    this.#hasAskedTwice = true;
    return isTracked && isFirst;
  }

  /**
   * No peer gave the content, so containerd goes upstream. Returns why, for the error and the log.
   */
  endWithMiss(what: 'blob' | 'manifest'): string {
    this.setSource(undefined);
    // A peer that said no at once has cost no wait.
    if (this.#hasWaited && this.#leftMs < this.#waitMs / 2) {
      this.#fleet.sharing?.waits.switchOff();
      this.#fleet.instruments.inflightWaits.inc({ result: 'vain' });
    }
    if (this.#role !== 'lead') return `no peer has this ${what}`;
    return `nobody has this ${what} yet: this host gets it from the upstream, and others from this host`;
  }

  /** The tracker is not to name this peer again for this request. */
  giveUp(peerId: string, kind: FailureKind): void {
    this.#failed.add(peerId);
    this.candidates.spend(peerId);
    if (DEAD_KINDS.has(kind)) this.#fleet.sharing?.client.wasSilent(peerId);
  }

  /** The bytes come from this peer now; undefined: from the upstream. */
  setSource(peerId: string | undefined): void {
    if (this.#digest !== undefined) this.#fleet.sharing?.client.setSource(this.#digest, peerId);
    if (peerId === undefined || this.#isWhole.get(peerId) !== false || this.#isServed) return;
    this.#isServed = true;
    this.#fleet.instruments.inflightWaits.inc({ result: 'served' });
  }

  /** The tracker knows a better source than the current one. True only once. */
  get isHeldUp(): boolean {
    const { sharing } = this.#fleet;
    return this.#digest !== undefined && sharing?.client.isHeldUp(this.#digest) === true;
  }

  /** Whether the tracker's last answer names this peer. */
  isNamed(peerId: string): boolean {
    return this.#isWhole.has(peerId);
  }

  /** Why the bytes come from this peer, for the log. */
  reasonFor(peerId: string): string {
    const isWhole = this.#isWhole.get(peerId);
    if (isWhole === undefined) return 'found by lookup';
    if (isWhole) return 'named by the tracker, has all of it';
    return `named by the tracker, still gets it itself, hosts before it: ${this.#depth}`;
  }

  /** The tracker named a peer that still downloads the content. */
  get #isInflightNamed(): boolean {
    return [...this.#isWhole.values()].includes(false);
  }

  /** Whether this host waits for such a peer. */
  get #mayWait(): boolean {
    return this.#isInflightNamed && !this.#isWaitingOff;
  }

  get #isWaitingOff(): boolean {
    return this.#fleet.sharing?.waits.isOff !== false;
  }

  get #waitMs(): number {
    return this.#fleet.sharing?.settings.inflightWaitMs ?? 0;
  }

  /** What is left of the wait for the first byte. */
  get #leftMs(): number {
    return Math.max(this.#waitMs - this.#waitedMs, this.#starvedUntil - performance.now());
  }

  /** The first byte is due. True: it is worth waiting a moment longer. */
  #extendStarvedWait(): boolean {
    if (!this.#isStarved(this.#waitedMs)) return false;
    this.#starvedUntil = performance.now() + 2 * SECOND_TRY_MS;
    return true;
  }

  get #waitedMs(): number {
    const now = performance.now();
    return now - (this.#startedAt ?? now);
  }

  /**
   * Other downloads take what this host's link gives, so that waiting costs nothing: another source
   * would have the same link. TCP shares a full link unevenly: of four layers one may get next to
   * nothing until the others end.
   */
  #isStarved(silentMs: number): boolean {
    const { sharing } = this.#fleet;
    if (sharing === undefined || this.#isSmall || !this.#mayWait) return false;
    const rate = sharing.client.downloadRate();
    const isBusy = rate > 0 && rate >= sharing.minRate;
    return isBusy && silentMs < sharing.settings.starvedWaitMs;
  }
}
