import { ExpiringMap } from '../base/expiring-map.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerProtocol } from '../routing/peer-protocol.ts';
import type { SourceAnswer } from './assignment.ts';
import { UpstreamRate } from './download-rates.ts';
import { DownloadRate } from './flow.ts';
import type {
  InflightClient,
  JoinRequest,
  ResolvedAnswer,
  ResolvedSource,
} from './inflight-sharing.ts';
import { MAX_LIST } from './protocol.ts';
import { type PullProgress, Pulls, type PullsSettings } from './pulls.ts';
import type { TrackerAnswer } from './round.ts';
import { SpoiltDigests } from './spoilt-digests.ts';
import type { Tracker } from './tracker.ts';
import { TrackerHealth } from './tracker-health.ts';
import { Trackers } from './trackers.ts';

export interface TrackerClientParts {
  readonly log: Logger;
  readonly protocol: PeerProtocol;
  /** This node's own. */
  readonly tracker: Pick<Tracker, 'handle'>;
  /** How far this host is with a digest; asked every 200 ms for each that it pulls. */
  readonly progress: (digest: Digest) => Promise<PullProgress>;
  /** A monotonic clock, milliseconds. */
  readonly now?: () => number;
}

export interface TrackerClientSettings extends PullsSettings {
  /** What `join` may take. */
  readonly resolveTimeoutMs: number;
}

/** Whom a tracker named for a digest, and when. */
interface Named {
  readonly tracker: string;
  readonly peers: readonly string[];
  readonly at: number;
}

/** Sources that all fail within this time did not work when they were named. */
const AT_ONCE_MS = 2_000;
const MAX_NAMED = 256;

/** In-flight sharing as this host takes part in it: asks the trackers, and keeps them told. */
export class TrackerClient implements InflightClient, Part {
  readonly #parts: TrackerClientParts;
  readonly #now: () => number;
  readonly #trust = new TrackerHealth();
  readonly #rate = new UpstreamRate();
  readonly #flow = new DownloadRate();
  readonly #spoilt: SpoiltDigests;
  /** Whom the trackers named a moment ago. */
  readonly #named: ExpiringMap<Named>;
  readonly #trackers: Trackers;
  readonly #pulls: Pulls;
  #isRunning = false;

  constructor(parts: TrackerClientParts, settings: TrackerClientSettings) {
    const { progress } = parts;
    const now = parts.now ?? (() => performance.now());
    this.#parts = parts;
    this.#now = now;
    this.#spoilt = new SpoiltDigests(now);
    this.#named = new ExpiringMap(MAX_NAMED, now);
    this.#trackers = new Trackers({ ...parts, now, trust: this.#trust }, settings.resolveTimeoutMs);
    const onSpoilt = (digest: Digest) =>
      this.#spoilt.report(digest, parts.protocol.peerId, undefined);
    this.#pulls = new Pulls(
      {
        progress,
        now,
        onSpoilt,
        trackers: this.#trackers,
        rate: this.#rate,
        flow: this.#flow,
      },
      settings,
    );
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#isRunning = true;
  }

  /** The trackers forget this host by themselves. A client that was stopped is not started again. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#trackers.stop();
    this.#pulls.stop();
  }

  /** Digests that the trackers are kept told of. */
  get size(): number {
    return this.#pulls.size;
  }

  async join(question: JoinRequest, signal: AbortSignal): Promise<ResolvedAnswer | undefined> {
    const { digest, have, isSmall } = question;
    if (!this.#isRunning || this.#spoilt.barred(digest).size > 0) return undefined;
    this.#judge(question);
    const failed = question.failed.slice(-MAX_LIST);
    const ask = { type: 'ask', digest, have, failed, isSmall } as const;
    const word = await this.#trackers.ask(ask, signal);
    // A caller that has gone away pulls nothing: it must not be told of as a puller for seconds.
    if (!this.#isRunning || signal.aborted) return undefined;
    const guidance = word === undefined ? undefined : this.#guidance(word.answer, question);
    const first = guidance?.role === 'follow' ? guidance.sources[0] : undefined;
    this.#pulls.joined(digest, have, first?.candidate.peerId, guidance?.role === 'lead');
    this.#remember(digest, word);
    // Nobody whom we know, or only whom we gave up on: no better than a word that failed.
    if (guidance === undefined && word !== undefined) this.#blame(word.tracker, this.#now());
    return guidance;
  }

  source(digest: Digest, peerId: string | undefined): void {
    this.#pulls.source(digest, peerId);
    const named = this.#named.get(digest);
    if (named !== undefined && peerId !== undefined && named.peers.includes(peerId))
      this.#trust.wordWasKept(named.tracker);
  }

  isHeldUp(digest: Digest): boolean {
    return this.#pulls.isHeldUp(digest);
  }

  wasSilent(peerId: string): void {
    this.#trust.foundDead(peerId, this.#now());
  }

  flow(): number {
    return this.#flow.rate(this.#now());
  }

  upstreamRate(): number | undefined {
    return this.#rate.get(this.#now());
  }

  /** Who asks again at once since all that a tracker named failed, was told wrong by it. */
  #judge({ digest, failed }: JoinRequest): void {
    const named = this.#named.get(digest);
    if (named === undefined || !named.peers.every((peer) => failed.includes(peer))) return;
    this.#named.delete(digest);
    this.#blame(named.tracker, named.at);
  }

  /** This node's own tracker has nobody behind it to be replaced by. */
  #blame(tracker: string, began: number): void {
    if (tracker !== this.#parts.protocol.peerId)
      this.#trust.wordFailed(tracker, began, this.#now());
  }

  #remember(digest: Digest, word: TrackerAnswer | undefined): void {
    this.#named.delete(digest);
    if (word?.answer.role !== 'follow') return;
    const peers = word.answer.sources.map(({ peer }) => peer);
    this.#named.set(digest, { tracker: word.tracker, peers, at: this.#now() }, AT_ONCE_MS);
  }

  /** A tracker names ids only; those that we do not know ourselves, or gave up on, are left out. */
  #guidance(answer: SourceAnswer, { failed }: JoinRequest): ResolvedAnswer | undefined {
    if (answer.role === 'lead') return { role: 'lead' };
    const known = answer.sources.flatMap(({ peer, isWhole }): ResolvedSource[] => {
      const candidate = failed.includes(peer) ? undefined : this.#parts.protocol.candidate(peer);
      return candidate === undefined ? [] : [{ candidate, isWhole }];
    });
    if (known.length === 0) return undefined;
    return { role: 'follow', sources: known, depth: answer.depth };
  }
}
