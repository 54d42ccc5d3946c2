import type { Logger } from '../base/log.ts';
import { isLocalRegistry } from '../hosts/toml/registry-name.ts';
import { tagKey } from '../oci/reference.ts';
import type { RunningPull } from '../oci/running-pull.ts';
import { DENIALS_APART_MS, MIN_FAILED_PULL_MS } from './constants.ts';
import type { PullAttempt, PullAttempts } from './pull-attempts.ts';
import type { PullFailureLog } from './pull-failure-log.ts';
import type { RegistryProbe } from './registry-probe.ts';
import { type TagName, type TagProbe, type TagProbeResult, VERDICT_RANKS } from './tag-probe.ts';

/**
 * Decides for each request of a tag whether this host or the fleet may answer it, or whether
 * containerd must ask the upstream.
 */
export interface TagDecider {
  /** `isFromContainerd`: the request looks like one of this host's containerd. */
  decide(tag: TagName, isFromContainerd: boolean): TagDecision;
  /** This host's containerd requests content by its digest. Never rejects. */
  markResolved(registry: string, repository: string): Promise<void>;
}

/** The decision about one request. */
export interface TagDecision {
  /** True if this host or the fleet may answer. Resolves within seconds. Never rejects. */
  readonly mayAnswer: Promise<boolean>;
  /**
   * Tells what this host and the fleet answer. Call it before the answer is sent. Never rejects.
   */
  recordAnswer(answer: 'tag' | 'miss'): Promise<void>;
}

/** Tells what this host's containerd is doing. */
export interface PullMonitor {
  /**
   * The pulls that run now. Undefined if containerd does not answer or its events are not followed.
   * Never rejects.
   */
  runningPulls(): Promise<readonly RunningPull[] | undefined>;
  /**
   * When the image record of that name last changed, in milliseconds since 1970; undefined if there
   * is none. Never rejects.
   */
  imageChangedAt(namespace: string, name: string): Promise<number | undefined>;
}

export interface TagDeciderParts {
  /** Undefined if the content store is not that of a containerd. */
  readonly containerd: PullMonitor | undefined;
  readonly attempts: PullAttempts;
  readonly tagProbe: TagProbe;
  readonly registryProbe: RegistryProbe;
  readonly failures: PullFailureLog;
  readonly log: Logger;
  /** The system's clocks by default. Tests pass their own. */
  readonly clock?: Clock;
}

/** Both in milliseconds. `wall` counts since 1970. */
export interface Clock {
  monotonic(): number;
  wall(): number;
}

const SYSTEM_CLOCK: Clock = { monotonic: () => performance.now(), wall: () => Date.now() };

/** For `--tag-source peers`: the fleet may always answer. */
export const FLEET_ALWAYS_ANSWERS: TagDecider = {
  decide: () => ({ mayAnswer: Promise.resolve(true), recordAnswer: async () => {} }),
  markResolved: async () => {},
};

/** A request for a tag at one moment. */
interface TagRequest {
  readonly tag: TagName;
  readonly key: string;
  /** Monotonic time, and time of the wall clock. */
  readonly at: number;
  readonly wall: number;
  /** Undefined if no pull of this host's containerd is the cause of the request. */
  readonly running: readonly RunningPull[] | undefined;
}

/**
 * A tag means what the upstream says, unless the upstream has just failed this host's containerd
 * (docs/tags.md). It has failed if a pull that was sent there ended without an image event of the
 * tag, and the own probe of the tag does not find it either.
 */
export class UpstreamFirst implements TagDecider {
  readonly #parts: TagDeciderParts;
  readonly #clock: Clock;

  constructor(parts: TagDeciderParts) {
    this.#parts = parts;
    this.#clock = parts.clock ?? SYSTEM_CLOCK;
  }

  decide(tag: TagName, isFromContainerd: boolean): TagDecision {
    const asking = this.#describe(tag, isFromContainerd);
    /** Set if this request has shown failed pulls. They are logged with the answer of the fleet. */
    let failedResult: TagProbeResult | undefined;
    const mayAnswer = asking.then((asked) =>
      this.#decide(asked, (result) => {
        failedResult = result;
      }),
    );
    return {
      mayAnswer,
      recordAnswer: async (answer) => {
        const { key, at, wall, running } = await asking;
        const { attempts, failures } = this.#parts;
        if (running === undefined) return;
        if (answer === 'tag') attempts.markAnswered(key, this.#clock.monotonic());
        else attempts.add(key, at, wall, running);
        // If the fleet does not have the tag, the answer does not wait for the decision.
        void mayAnswer.then(() => {
          if (failedResult !== undefined) failures.add(tag, failedResult, answer === 'tag');
        });
      },
    };
  }

  /**
   * The upstream has told containerd what the tag means. A pull that fails now has another cause.
   */
  async markResolved(registry: string, repository: string): Promise<void> {
    const { containerd, attempts } = this.#parts;
    const name = `${registry}/${repository}`;
    if (!attempts.hasUnresolved(name)) return;
    attempts.markResolved(name, (await containerd?.runningPulls()) ?? []);
  }

  async #describe(tag: TagName, isFromContainerd: boolean): Promise<TagRequest> {
    const key = tagKey(tag.registry, tag.repository, tag.tag);
    const at = this.#clock.monotonic();
    const wall = this.#clock.wall();
    const pulls = isFromContainerd ? await this.#parts.containerd?.runningPulls() : undefined;
    const isBehind = pulls !== undefined && this.#parts.attempts.isPullBehind(key, wall, pulls);
    return { tag, key, at, wall, running: isBehind ? pulls : undefined };
  }

  async #decide(
    asked: TagRequest,
    reportFailure: (result: TagProbeResult) => void,
  ): Promise<boolean> {
    const { tag, key, at, running } = asked;
    const { attempts } = this.#parts;
    // `localhost:5000` is another registry on each host. A peer has other images under that name.
    if (isLocalRegistry(tag.registry)) return false;
    if (running === undefined) return this.#isUpstreamGone(tag, false);
    const failed = attempts.failedAttempts(key, at, running);
    if (attempts.failure(key) !== undefined) return this.#stillFails(asked, failed, reportFailure);
    if (failed.length === 0) return this.#isUpstreamGone(tag, true);
    return this.#hasFailed(asked, failed, reportFailure);
  }

  /**
   * Without an attempt of containerd: true if no endpoint answers the probe of the registry, nor
   * that of the tag.
   */
  async #isUpstreamGone(tag: TagName, isOwn: boolean): Promise<boolean> {
    const { tagProbe, registryProbe } = this.#parts;
    if (!(await registryProbe.isGone(tag.registry, isOwn))) return false;
    return (await tagProbe.probe(tag)).verdict === 'fails';
  }

  /**
   * Probes the tag. The probe has a short timeout, so a registry that is only slow counts as an
   * answer.
   */
  async #probeTag(tag: TagName): Promise<TagProbeResult> {
    const { tagProbe, registryProbe } = this.#parts;
    const result = await tagProbe.probe(tag);
    const isSlow = result.reason === 'timeout' && (await registryProbe.answers(tag.registry));
    return isSlow ? { ...result, verdict: 'answers' } : result;
  }

  /** Pulls have ended without an event. True if the upstream is the cause. */
  async #hasFailed(
    { tag, key, at }: TagRequest,
    ended: readonly PullAttempt[],
    reportFailure: (result: TagProbeResult) => void,
  ): Promise<boolean> {
    const { log, attempts } = this.#parts;
    const result = await this.#probeTag(tag);
    const failed = await this.#withoutChange(key, ended);
    // The pull was cancelled, or the tag was deleted upstream.
    if (failed.length === 0 || result.verdict === 'answers') {
      attempts.forget(key);
      return false;
    }
    // The own probe may be too short for a slow registry. A pull that ended this early was
    // cancelled before its own timeout.
    const isLong = failed.some(({ askedAt }) => at - askedAt >= MIN_FAILED_PULL_MS);
    if (result.reason === 'timeout' && !isLong) return false;
    reportFailure(result);
    // The fleet must not give an old tag to a pull with a wrong credential.
    if (result.verdict === 'denies' && !areApart(failed)) return false;
    log.info('the upstream has failed containerd: the fleet answers', { tag: key, ...result });
    attempts.markFailed(key, at, result.verdict);
    return true;
  }

  /** The fleet answers until the own probe gets a better result, or for ten minutes. */
  async #stillFails(
    { tag, key, at }: TagRequest,
    retried: readonly PullAttempt[],
    reportFailure: (result: TagProbeResult) => void,
  ): Promise<boolean> {
    const { log, attempts } = this.#parts;
    const result = await this.#probeTag(tag);
    const failure = attempts.failure(key);
    // Another request has ended the failure meanwhile.
    if (failure === undefined) return false;
    if (VERDICT_RANKS[result.verdict] > VERDICT_RANKS[failure.verdict]) {
      log.info('the upstream is asked for a tag again', { tag: key, ...result });
      attempts.forget(key);
      return false;
    }
    if (attempts.takeRetry(key, at)) return false;
    if (retried.length > 0) {
      reportFailure(result);
      attempts.markFailed(key, at, result.verdict);
    }
    return true;
  }

  /**
   * The attempts after which no record of that name changed. The event of a record may arrive after
   * the next request.
   */
  async #withoutChange(
    key: string,
    ended: readonly PullAttempt[],
  ): Promise<readonly PullAttempt[]> {
    const { containerd } = this.#parts;
    const pulls = ended.flatMap((one) => [...one.pulls.values()]);
    const namespaces = [...new Set(pulls.map(({ namespace }) => namespace))];
    const changes = await Promise.all(
      namespaces.map((namespace) => containerd?.imageChangedAt(namespace, key)),
    );
    const last = Math.max(0, ...changes.map((change) => change ?? 0));
    return ended.filter(({ askedAtWall }) => askedAtWall > last);
  }
}

/** True if two attempts began at least ten seconds apart. */
function areApart(failed: readonly PullAttempt[]): boolean {
  const times = failed.map(({ askedAt }) => askedAt);
  return Math.max(...times) - Math.min(...times) >= DENIALS_APART_MS;
}
