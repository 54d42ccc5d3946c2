import type { Logger } from '../base/log.ts';
import { isLocal } from '../hosts/toml/registry-name.ts';
import { tagKey } from '../oci/reference.ts';
import type { FailureLog } from './failure-log.ts';
import type { Reachability } from './reachability.ts';
import { RANKS, type TagCheck, type TagName, type TagOpinion } from './tag-check.ts';
import type { RunningPull, TagTries, TagTry } from './tag-tries.ts';

/** Decides whether this host or the fleet may say what a tag means. */
export interface TagRule {
  /** `isContainerds`: the request looks like one of this host's containerd. */
  judge(tag: TagName, isContainerds: boolean): TagJudgement;
  /** This host's containerd asks for content by its digest. Never rejects. */
  resolved(registry: string, repository: string): Promise<void>;
}

/** One request for a tag, judged. */
export interface TagJudgement {
  /** Settles within seconds. Never rejects. */
  readonly mayAnswer: Promise<boolean>;
  /**
   * To be called before the answer is sent: what this host and the fleet had to say. Never rejects.
   */
  settle(answer: 'tag' | 'miss'): Promise<void>;
}

/** Of this host's containerd: what it is doing. */
export interface Containerd {
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

export interface TagRuleParts {
  /** Undefined: the content store is none of containerd's. */
  readonly containerd: Containerd | undefined;
  readonly tries: TagTries;
  readonly check: TagCheck;
  readonly reachability: Reachability;
  readonly failures: FailureLog;
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
export const FLEET_DECIDES: TagRule = {
  judge: () => ({ mayAnswer: Promise.resolve(true), settle: async () => {} }),
  resolved: async () => {},
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
export class UpstreamDecides implements TagRule {
  readonly #parts: TagRuleParts;
  readonly #clock: Clock;

  constructor(parts: TagRuleParts) {
    this.#parts = parts;
    this.#clock = parts.clock ?? SYSTEM_CLOCK;
  }

  judge(tag: TagName, isContainerds: boolean): TagJudgement {
    const asking = this.#asked(tag, isContainerds);
    /**
     * Pulls of which this request has shown that they failed, to be told with what the fleet had.
     */
    let shown: TagOpinion | undefined;
    const mayAnswer = asking.then((asked) =>
      this.#decide(asked, (opinion) => {
        shown = opinion;
      }),
    );
    return {
      mayAnswer,
      settle: async (answer) => {
        const { key, at, on, running } = await asking;
        const { tries, failures } = this.#parts;
        if (running === undefined) return;
        if (answer === 'tag') tries.answered(key, this.#clock.monotonic());
        else tries.add(key, at, on, running);
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
  async resolved(registry: string, repository: string): Promise<void> {
    const { containerd, tries } = this.#parts;
    const name = `${registry}/${repository}`;
    if (!tries.areOpen(name)) return;
    tries.resolved(name, (await containerd?.runningPulls()) ?? []);
  }

  async #asked(tag: TagName, isContainerds: boolean): Promise<Asked> {
    const key = tagKey(tag.registry, tag.repository, tag.tag);
    const at = this.#clock.monotonic();
    const on = this.#clock.wall();
    const pulls = isContainerds ? await this.#parts.containerd?.runningPulls() : undefined;
    const isBehind = pulls !== undefined && this.#parts.tries.isBehind(key, on, pulls);
    return { tag, key, at, on, running: isBehind ? pulls : undefined };
  }

  async #decide(asked: Asked, show: (opinion: TagOpinion) => void): Promise<boolean> {
    const { tag, key, at, running } = asked;
    const { tries } = this.#parts;
    // `localhost:5000` is another registry on each host: what a peer has of it is another image.
    if (isLocal(tag.registry)) return false;
    if (running === undefined) return this.#isAway(tag, false);
    const failed = tries.failed(key, at, running);
    if (tries.failure(key) !== undefined) return this.#stillFails(asked, failed, show);
    if (failed.length === 0) return this.#isAway(tag, true);
    return this.#hasFailed(asked, failed, show);
  }

  /**
   * Without a try of containerd's: no place that it asks answers, neither a probe nor our own
   * request.
   */
  async #isAway(tag: TagName, isOwn: boolean): Promise<boolean> {
    const { check, reachability } = this.#parts;
    if (!(await reachability.isAway(tag.registry, isOwn))) return false;
    return (await check.opinion(tag)).verdict === 'fails';
  }

  /** Our own request is short: a registry that is only slow is there. */
  async #opinion(tag: TagName): Promise<TagOpinion> {
    const { check, reachability } = this.#parts;
    const opinion = await check.opinion(tag);
    const isSlow = opinion.reason === 'timeout' && (await reachability.answers(tag.registry));
    return isSlow ? { ...opinion, verdict: 'answers' } : opinion;
  }

  /** Pulls ended without an event: whether that was the upstream's fault. */
  async #hasFailed(
    { tag, key, at }: Asked,
    ended: readonly TagTry[],
    show: (opinion: TagOpinion) => void,
  ): Promise<boolean> {
    const { log, tries } = this.#parts;
    const opinion = await this.#opinion(tag);
    const failed = await this.#withoutChange(key, ended);
    // Somebody cancelled, or the tag is deleted: nothing to heal.
    if (failed.length === 0 || opinion.verdict === 'answers') {
      tries.forget(key);
      return false;
    }
    // Our request may have been too short for a slow registry: somebody cancelled before containerd
    // lost patience.
    if (opinion.reason === 'timeout' && !failed.some(({ askedAt }) => at - askedAt >= PATIENCE_MS))
      return false;
    show(opinion);
    // A wrong credential must not be healed by an old tag.
    if (opinion.verdict === 'denies' && !areApart(failed)) return false;
    log.info('the upstream has failed containerd: the fleet answers', { key, ...opinion });
    tries.fail(key, at, opinion.verdict);
    return true;
  }

  /** The fleet answers until our own opinion is better than it was, or ten minutes are over. */
  async #stillFails(
    { tag, key, at }: Asked,
    retried: readonly TagTry[],
    show: (opinion: TagOpinion) => void,
  ): Promise<boolean> {
    const { log, tries } = this.#parts;
    const opinion = await this.#opinion(tag);
    const failure = tries.failure(key);
    // Another request has ended it meanwhile.
    if (failure === undefined) return false;
    if (RANKS[opinion.verdict] > RANKS[failure.verdict]) {
      log.info('the upstream is asked for a tag again', { key, ...opinion });
      tries.forget(key);
      return false;
    }
    if (tries.takeRetry(key, at)) return false;
    if (retried.length > 0) {
      show(opinion);
      tries.fail(key, at, opinion.verdict);
    }
    return true;
  }

  /**
   * Those after which no record of that name changed: an event may be on its way when the next
   * request is here.
   */
  async #withoutChange(key: string, ended: readonly TagTry[]): Promise<readonly TagTry[]> {
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
function areApart(failed: readonly TagTry[]): boolean {
  const times = failed.map(({ askedAt }) => askedAt);
  return Math.max(...times) - Math.min(...times) >= DENIED_APART_MS;
}

const DENIED_APART_MS = 10_000;

/** containerd waits for a silent upstream for 30 s at least. */
const PATIENCE_MS = 10_000;
