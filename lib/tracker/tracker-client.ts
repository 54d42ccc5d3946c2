import { ExpiringMap } from '../base/expiring-map.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerProtocol } from '../routing/peer-protocol.ts';
import type { Candidate } from '../routing/router.ts';
import type { SourceAnswer } from './assignment.ts';
import { FAILED_AT_ONCE_MS, MAX_NAMED_ANSWERS } from './constants.ts';
import { DownloadRate, UpstreamRates } from './download-rates.ts';
import { MAX_LIST } from './protocol.ts';
import type { PullProgress } from './pull-progress.ts';
import { Pulls, type PullsSettings } from './pulls.ts';
import { SpoiltDigests } from './spoilt-digests.ts';
import type { Tracker } from './tracker.ts';
import { TrackerHealth } from './tracker-health.ts';
import type { TrackerAnswer } from './tracker-round.ts';
import { Trackers } from './trackers.ts';

/** A tracker's answer, with the addresses that this host knows. */
export type ResolvedAnswer =
  /** Get the content from the upstream; other hosts follow this one. */
  | { readonly role: 'lead' }
  | {
      readonly role: 'follow';
      /** Best first; at least one. */
      readonly sources: readonly ResolvedSource[];
      /** How many hosts pass the bytes on before the first source. 0: it has them all, or leads. */
      readonly depth: number;
      /**
       * What the registry gave other hosts lately, in bytes per second, as far as this host's link
       * is known to carry it. Undefined: not known.
       */
      readonly usualRate?: number;
    };

export interface ResolvedSource {
  readonly candidate: Candidate;
  /** It has the whole content; otherwise it still downloads it. */
  readonly isWhole: boolean;
}

export interface JoinRequest {
  readonly digest: Digest;
  /** The registry that it is asked for by, as containerd names it. */
  readonly registry: string;
  /** Bytes that this host has already, from 0 on. */
  readonly have: number;
  /** Ids of the peers that were given up for this digest. */
  readonly failed: readonly string[];
  /** A manifest or a small blob: a few hops take longer than its bytes. */
  readonly isSmall: boolean;
  /**
   * The source gives less than this, in bytes per second. It is the tracker that decides whether
   * this host leaves it, so that not all hosts do.
   */
  readonly wantedRate?: number | undefined;
}

/** In-flight sharing, as the mirror uses it. */
export interface InflightClient {
  /**
   * Asks the digest's tracker. Undefined when none answers in time, or sharing is off: then only a
   * lookup names candidates. Never rejects. From now on the tracker is told how far this host is,
   * until it has the content or has given up.
   */
  join(request: JoinRequest, signal: AbortSignal): Promise<ResolvedAnswer | undefined>;
  /**
   * This digest now comes from that peer, whether or not the tracker named it; undefined: from the
   * upstream. To be called when the first byte has come: it shows that the tracker's answer was
   * good.
   */
  setSource(digest: Digest, peerId: string | undefined): void;
  /**
   * The current source of this digest is held up by a host further up, and the tracker knows a
   * better one: it is worth asking again. True only once.
   */
  isHeldUp(digest: Digest): boolean;
  /** This peer did not answer a request. As a tracker it is not waited for until it answers. */
  wasSilent(peerId: string): void;
  /** How fast all content together came to this host lately, in bytes per second. */
  downloadRate(): number;
  /**
   * How fast one download from this registry came to this host lately, in bytes per second,
   * measured while it led. Undefined when it led nothing large within the last hour.
   */
  upstreamRate(registry: string): number | undefined;
}

export interface TrackerClientParts {
  readonly log: Logger;
  readonly protocol: PeerProtocol;
  /** This node's own. */
  readonly tracker: Pick<Tracker, 'handle'>;
  /** How far this host is with a digest; called every 200 ms for each that it pulls. */
  readonly progress: (digest: Digest, which?: 'known') => Promise<PullProgress>;
  /** A monotonic clock, milliseconds. */
  readonly now?: () => number;
}

export interface TrackerClientSettings extends PullsSettings {
  /** How long `join` may take. */
  readonly resolveTimeoutMs: number;
}

/** The sources that a tracker named for a digest, and when. */
interface NamedSources {
  readonly tracker: string;
  readonly peers: readonly string[];
  readonly at: number;
}

/** Takes this host's part in in-flight sharing: asks the trackers, and reports to them. */
export class TrackerClient implements InflightClient, Part {
  readonly #parts: TrackerClientParts;
  readonly #now: () => number;
  readonly #health = new TrackerHealth();
  readonly #upstreamRates: UpstreamRates;
  readonly #downloadRate = new DownloadRate();
  readonly #spoilt: SpoiltDigests;
  /** The answers of a moment ago. */
  readonly #named: ExpiringMap<NamedSources>;
  readonly #trackers: Trackers;
  readonly #pulls: Pulls;
  #isRunning = false;

  constructor(parts: TrackerClientParts, settings: TrackerClientSettings) {
    const { progress } = parts;
    const now = parts.now ?? (() => performance.now());
    this.#parts = parts;
    this.#now = now;
    this.#upstreamRates = new UpstreamRates(now);
    this.#spoilt = new SpoiltDigests(now);
    this.#named = new ExpiringMap(MAX_NAMED_ANSWERS, now);
    this.#trackers = new Trackers(
      { ...parts, now, health: this.#health },
      settings.resolveTimeoutMs,
    );
    const onSpoilt = (digest: Digest) =>
      this.#spoilt.report(digest, parts.protocol.peerId, undefined);
    this.#pulls = new Pulls(
      {
        progress,
        now,
        onSpoilt,
        trackers: this.#trackers,
        upstreamRates: this.#upstreamRates,
        downloadRate: this.#downloadRate,
      },
      settings,
    );
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#isRunning = true;
  }

  /**
   * The trackers forget this host by themselves. A client that was stopped is not started again.
   */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#trackers.stop();
    this.#pulls.stop();
  }

  /** How many digests this host reports to trackers. */
  get size(): number {
    return this.#pulls.size;
  }

  async join(request: JoinRequest, signal: AbortSignal): Promise<ResolvedAnswer | undefined> {
    const { digest, registry, have, isSmall } = request;
    if (!this.#isRunning || this.#spoilt.barred(digest).size > 0) return undefined;
    this.#judgeLastAnswer(request);
    const failed = request.failed.slice(-MAX_LIST);
    const rates = {
      upstreamRate: whole(this.upstreamRate(registry)),
      wantedRate: whole(request.wantedRate),
    };
    const ask = { type: 'ask', digest, have, failed, isSmall, ...rates } as const;
    const heard = await this.#trackers.ask(ask, signal);
    // A client that has gone away pulls nothing: trackers must not take this host for a puller.
    if (!this.#isRunning || signal.aborted) return undefined;
    const resolved = heard === undefined ? undefined : this.#resolve(heard.answer, request);
    const first = resolved?.role === 'follow' ? resolved.sources[0] : undefined;
    this.#pulls.add(request, first?.candidate.peerId, resolved?.role === 'lead');
    this.#remember(digest, heard);
    // It named only peers that this host does not know or has given up: as bad as a failed answer.
    if (resolved === undefined && heard !== undefined) this.#blame(heard.tracker, this.#now());
    return resolved;
  }

  setSource(digest: Digest, peerId: string | undefined): void {
    this.#pulls.setSource(digest, peerId);
    const named = this.#named.get(digest);
    if (named !== undefined && peerId !== undefined && named.peers.includes(peerId))
      this.#health.answerWasGood(named.tracker);
  }

  isHeldUp(digest: Digest): boolean {
    return this.#pulls.isHeldUp(digest);
  }

  wasSilent(peerId: string): void {
    this.#health.foundDead(peerId, this.#now());
  }

  downloadRate(): number {
    return this.#downloadRate.get(this.#now());
  }

  upstreamRate(registry: string): number | undefined {
    return this.#upstreamRates.get(registry);
  }

  /** When all sources that a tracker named failed at once, its answer was wrong. */
  #judgeLastAnswer({ digest, failed }: JoinRequest): void {
    const named = this.#named.get(digest);
    if (named === undefined || !named.peers.every((peer) => failed.includes(peer))) return;
    this.#named.delete(digest);
    this.#blame(named.tracker, named.at);
  }

  /** This node's own tracker is never passed over. */
  #blame(tracker: string, began: number): void {
    if (tracker !== this.#parts.protocol.peerId)
      this.#health.answerFailed(tracker, began, this.#now());
  }

  #remember(digest: Digest, heard: TrackerAnswer | undefined): void {
    this.#named.delete(digest);
    if (heard?.answer.role !== 'follow') return;
    const peers = heard.answer.sources.map(({ peer }) => peer);
    this.#named.set(digest, { tracker: heard.tracker, peers, at: this.#now() }, FAILED_AT_ONCE_MS);
  }

  /** A tracker names only ids. Those that this host does not know, or gave up, are left out. */
  #resolve(answer: SourceAnswer, { failed }: JoinRequest): ResolvedAnswer | undefined {
    if (answer.role === 'lead') return { role: 'lead' };
    const known = answer.sources.flatMap(({ peer, isWhole }): ResolvedSource[] => {
      const candidate = failed.includes(peer) ? undefined : this.#parts.protocol.candidate(peer);
      return candidate === undefined ? [] : [{ candidate, isWhole }];
    });
    if (known.length === 0) return undefined;
    const { depth, usualRate: usual } = answer;
    const resolved = { role: 'follow', sources: known, depth } as const;
    if (usual === undefined) return resolved;
    return { ...resolved, usualRate: Math.min(usual, this.#downloadRate.best(this.#now())) };
  }
}

/** The protocol knows whole numbers. */
const whole = (rate: number | undefined) => rate && Math.round(rate);
