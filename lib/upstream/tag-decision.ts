import type { Logger } from '../base/log.ts';
import { isLocalRegistry } from '../hosts/toml/registry-name.ts';
import { tagKey } from '../oci/reference.ts';
import { DENIALS_APART_MS, MIN_FAILED_PULL_MS } from './constants.ts';
import type { PullAttempt, PullAttempts, RunningPull } from './pull-attempts.ts';
import type { PullFailureLog } from './pull-failure-log.ts';
import type { RegistryProbe } from './registry-probe.ts';
import { type TagName, type TagProbe, type TagProbeResult, VERDICT_RANKS } from './tag-probe.ts';

/** Decides whether this host or the fleet may say what a tag means. */
export interface TagDecider {
  /** `isContainerds`: the request looks like one of this host's containerd. */
  decide(tag: TagName, isContainerds: boolean): TagDecision;
  /** This host's containerd asks for content by its digest. Never rejects. */
  markResolved(registry: string, repository: string): Promise<void>;
}

/** One request for a tag, judged. */
export interface TagDecision {
  /** Settles within seconds. Never rejects. */
  readonly mayAnswer: Promise<boolean>;
  /**
   * To be called before the answer is sent: what this host and the fleet had to say. Never rejects.
   */
  recordAnswer(answer: 'tag' | 'miss'): Promise<void>;
}

/** Of this host's containerd: what it is doing. */
export interface PullMonitor {
  /**
   * The pulls that run now; undefined while it, or its events, cannot be followed. Never rejects.
   */
  runningPulls(): Promise<readonly RunningPull[] | undefined>;
  /**
   * When the image record of that name last changed, in milliseconds since 1970; undefined: there
   * is none. Never rejects.
   */
  imageChangedAt(namespace: string, name: string): Promise<number | undefined>;
}

export interface TagDeciderParts {
  /** Undefined: the content store is none of containerd's. */
  readonly containerd: PullMonitor | undefined;
  readonly attempts: PullAttempts;
  readonly tagProbe: TagProbe;
  readonly registryProbe: RegistryProbe;
  readonly failures: PullFailureLog;
  readonly log: Logger;
  /** Tests give their own. */
  readonly clock?: Clock;
}

/** Milliseconds: of a clock that only goes on, and since 1970. */
export interface Clock {
  monotonic(): number;
  wall(): number;
}

const SYSTEM_CLOCK: Clock = { monotonic: () => performance.now(), wall: () => Date.now() };

/** `--tag-source peers`: the fleet always may. */
export const FLEET_ALWAYS_ANSWERS: TagDecider = {
  decide: () => ({ mayAnswer: Promise.resolve(true), recordAnswer: async () => {} }),
  markResolved: async () => {},
};

/** A request at its moment. */
interface Asked {
  readonly tag: TagName;
  readonly key: string;
  /** Monotonic, and by the wall clock. */
  readonly at: number;
  readonly on: number;
  /** Undefined: no pull of this host's containerd stands behind it. */
  readonly running: readonly RunningPull[] | undefined;
}

/**
 * A tag means what the upstream says, unless the upstream has just failed this host's containerd
 * (docs/tags.md). The evidence is a pull that was sent there and ended without an image event of
 * that name, and our own request for the tag.
 */
export class UpstreamFirst implements TagDecider {
  readonly #parts: TagDeciderParts;
  readonly #clock: Clock;

  constructor(parts: TagDeciderParts) {
    this.#parts = parts;
    this.#clock = parts.clock ?? SYSTEM_CLOCK;
  }

  decide(tag: TagName, isContainerds: boolean): TagDecision {
    const asking = this.#asked(tag, isContainerds);
    /**
     * Pulls of which this request has shown that they failed, to be told with what the fleet had.
     */
    let shown: TagProbeResult | undefined;
    const mayAnswer = asking.then((asked) =>
      this.#decide(asked, (result) => {
        shown = result;
      }),
    );
    return {
      mayAnswer,
      recordAnswer: async (answer) => {
        const { key, at, on, running } = await asking;
        const { attempts, failures } = this.#parts;
        if (running === undefined) return;
        if (answer === 'tag') attempts.markAnswered(key, this.#clock.monotonic());
        else attempts.add(key, at, on, running);
        // Where nobody has the tag the answer does not wait for the decision.
        void mayAnswer.then(() => {
          if (shown !== undefined) failures.add(tag, shown, answer === 'tag');
        });
      },
    };
  }

  /**
   * The upstream has told containerd what the tag means: a pull that ends now ends of something
   * else.
   */
  async markResolved(registry: string, repository: string): Promise<void> {
    const { containerd, attempts } = this.#parts;
    const name = `${registry}/${repository}`;
    if (!attempts.hasUnresolved(name)) return;
    attempts.markResolved(name, (await containerd?.runningPulls()) ?? []);
  }

  async #asked(tag: TagName, isContainerds: boolean): Promise<Asked> {
    const key = tagKey(tag.registry, tag.repository, tag.tag);
    const at = this.#clock.monotonic();
    const on = this.#clock.wall();
    const pulls = isContainerds ? await this.#parts.containerd?.runningPulls() : undefined;
    const isBehind = pulls !== undefined && this.#parts.attempts.isPullBehind(key, on, pulls);
    return { tag, key, at, on, running: isBehind ? pulls : undefined };
  }

  async #decide(asked: Asked, show: (result: TagProbeResult) => void): Promise<boolean> {
    const { tag, key, at, running } = asked;
    const { attempts } = this.#parts;
    // `localhost:5000` is another registry on each host: what a peer has of it is another image.
    if (isLocalRegistry(tag.registry)) return false;
    if (running === undefined) return this.#isAway(tag, false);
    const failed = attempts.failedAttempts(key, at, running);
    if (attempts.failure(key) !== undefined) return this.#stillFails(asked, failed, show);
    if (failed.length === 0) return this.#isAway(tag, true);
    return this.#hasFailed(asked, failed, show);
  }

  /**
   * Without a try of containerd's: no place that it asks answers, neither a probe nor our own
   * request.
   */
  async #isAway(tag: TagName, isOwn: boolean): Promise<boolean> {
    const { tagProbe, registryProbe } = this.#parts;
    if (!(await registryProbe.isAway(tag.registry, isOwn))) return false;
    return (await tagProbe.probe(tag)).verdict === 'fails';
  }

  /** Our own request is short: a registry that is only slow is there. */
  async #result(tag: TagName): Promise<TagProbeResult> {
    const { tagProbe, registryProbe } = this.#parts;
    const result = await tagProbe.probe(tag);
    const isSlow = result.reason === 'timeout' && (await registryProbe.answers(tag.registry));
    return isSlow ? { ...result, verdict: 'answers' } : result;
  }

  /** Pulls ended without an event: whether that was the upstream's fault. */
  async #hasFailed(
    { tag, key, at }: Asked,
    ended: readonly PullAttempt[],
    show: (result: TagProbeResult) => void,
  ): Promise<boolean> {
    const { log, attempts } = this.#parts;
    const result = await this.#result(tag);
    const failed = await this.#withoutChange(key, ended);
    // Somebody cancelled, or the tag is deleted: nothing to heal.
    if (failed.length === 0 || result.verdict === 'answers') {
      attempts.forget(key);
      return false;
    }
    // Our request may have been too short for a slow registry: somebody cancelled before containerd
    // lost patience.
    if (
      result.reason === 'timeout' &&
      !failed.some(({ askedAt }) => at - askedAt >= MIN_FAILED_PULL_MS)
    )
      return false;
    show(result);
    // A wrong credential must not be healed by an old tag.
    if (result.verdict === 'denies' && !areApart(failed)) return false;
    log.info('the upstream has failed containerd: the fleet answers', { key, ...result });
    attempts.markFailed(key, at, result.verdict);
    return true;
  }

  /** The fleet answers until our own result is better than it was, or ten minutes are over. */
  async #stillFails(
    { tag, key, at }: Asked,
    retried: readonly PullAttempt[],
    show: (result: TagProbeResult) => void,
  ): Promise<boolean> {
    const { log, attempts } = this.#parts;
    const result = await this.#result(tag);
    const failure = attempts.failure(key);
    // Another request has ended it meanwhile.
    if (failure === undefined) return false;
    if (VERDICT_RANKS[result.verdict] > VERDICT_RANKS[failure.verdict]) {
      log.info('the upstream is asked for a tag again', { key, ...result });
      attempts.forget(key);
      return false;
    }
    if (attempts.takeRetry(key, at)) return false;
    if (retried.length > 0) {
      show(result);
      attempts.markFailed(key, at, result.verdict);
    }
    return true;
  }

  /**
   * Those after which no record of that name changed: an event may be on its way when the next
   * request is here.
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
    return ended.filter(({ askedOn }) => askedOn > last);
  }
}

/** Two of them were asked for at least ten seconds apart. */
function areApart(failed: readonly PullAttempt[]): boolean {
  const times = failed.map(({ askedAt }) => askedAt);
  return Math.max(...times) - Math.min(...times) >= DENIALS_APART_MS;
}
