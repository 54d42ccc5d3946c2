import { BoundedMap } from '../base/bounded-map.ts';
import type { RunningPull } from '../oci/running-pull.ts';
import {
  ATTEMPT_KEPT_MS,
  LEASE_JUST_NOW_MS,
  LEASE_LATE_MS,
  MAX_ATTEMPTED_TAGS,
  MAX_ATTEMPTS_PER_TAG,
  STUCK_MS,
  UPSTREAM_RETRY_MS,
} from './constants.ts';
import type { TagProbeResult } from './tag-probe.ts';

/** A pull of a tag by this host's containerd that was sent to the upstream. */
export interface PullAttempt {
  /** Monotonic time in milliseconds. */
  readonly askedAt: number;
  /** Time of the wall clock, in milliseconds since 1970. */
  readonly askedAtWall: number;
  /** Running pulls by id. One of them is this attempt. */
  readonly pulls: ReadonlyMap<string, RunningPull>;
  /**
   * True after the upstream told what the tag means. If the pull fails later, it has another cause.
   */
  isResolved: boolean;
}

/** containerd has failed to get a tag from the upstream. */
interface Failure {
  readonly verdict: TagProbeResult['verdict'];
  /** When containerd must try the upstream again, whatever the own probe says. */
  retryAt: number;
  /** When the fleet last answered. Image events after that may come from its answer. */
  answeredAt: number;
  /** When containerd last tried the upstream again. */
  retriedAt: number;
}

interface TagState {
  attempts: PullAttempt[];
  failure: Failure | undefined;
}

/**
 * Tracks the pulls of tags that were sent to the upstream, and what came of them. A pull that ends
 * without an image event of its tag has failed. Callers pass all times, so the result depends on
 * the arguments only.
 */
export class PullAttempts {
  readonly #states = new BoundedMap<string, TagState>(MAX_ATTEMPTED_TAGS);

  /**
   * Adds a request that was answered with 404. `running` are the pulls of that moment. Requests of
   * one pull, for example its retries, are one attempt. A request without a running pull is no
   * attempt.
   */
  add(key: string, askedAt: number, askedAtWall: number, running: readonly RunningPull[]): void {
    const state = this.#states.get(key) ?? { attempts: [], failure: undefined };
    const pulls = pullsBehind(state, askedAtWall, running);
    if (pulls.length === 0) return;
    const byId = new Map(pulls.map((pull) => [pull.id, pull]));
    state.attempts = [
      // A resolved attempt counts as long as its pull downloads: other pulls of the tag wait for
      // it.
      ...state.attempts.filter((one) => one.isResolved || isRecent(one, askedAt)),
      { askedAt, askedAtWall, pulls: byId, isResolved: false },
    ].slice(-MAX_ATTEMPTS_PER_TAG);
    this.#states.set(key, state);
  }

  /** True if a running pull of containerd can be the cause of a request for the tag. */
  isPullBehind(key: string, askedAtWall: number, running: readonly RunningPull[]): boolean {
    const state = this.#states.get(key);
    if (pullsBehind(state, askedAtWall, running).length > 0) return true;
    const ids = new Set(running.map(({ id }) => id));
    return state?.attempts.some((one) => isRunning(one, ids)) ?? false;
  }

  /**
   * The failed attempts of the last ten minutes: their pulls do not run any more, or the upstream
   * has not told what the tag means for 90 s. Empty while a pull of the tag downloads, because
   * other pulls wait for it without a request.
   */
  failedAttempts(
    key: string,
    now: number,
    running: readonly RunningPull[],
  ): readonly PullAttempt[] {
    const state = this.#states.get(key);
    const ids = new Set(running.map(({ id }) => id));
    const attempts = state?.attempts ?? [];
    if (attempts.some((one) => one.isResolved && isRunning(one, ids))) return [];
    return attempts.filter((one) => {
      const isStuck = now - one.askedAt >= STUCK_MS;
      return !one.isResolved && isRecent(one, now) && (isStuck || !isRunning(one, ids));
    });
  }

  /** True if the upstream has not told yet what a tag of this repository means, for any attempt. */
  hasUnresolved(repository: string): boolean {
    return this.#attemptsIn(repository).some(({ isResolved }) => !isResolved);
  }

  /**
   * containerd requests content of the repository by its digest, so the tags of its running pulls
   * are resolved.
   */
  markResolved(repository: string, running: readonly RunningPull[]): void {
    const ids = new Set(running.map(({ id }) => id));
    for (const one of this.#attemptsIn(repository)) if (isRunning(one, ids)) one.isResolved = true;
  }

  /** The attempts for all tags of a repository such as `docker.io/library/nginx`. */
  #attemptsIn(repository: string): PullAttempt[] {
    const keys = [...this.#states.keys()].filter((key) => key.startsWith(`${repository}:`));
    return keys.flatMap((key) => this.#states.get(key)?.attempts ?? []);
  }

  /** Forgets a tag: its failure is over, or was not a failure of the upstream. */
  forget(key: string): void {
    this.#states.delete(key);
  }

  /** Forgets all attempts after a gap in the events: their pulls may have succeeded or failed. */
  forgetAttempts(): void {
    for (const [key, state] of this.#states) {
      state.attempts = [];
      if (state.failure === undefined) this.#states.delete(key);
    }
  }

  /** An image of that name was created or updated: a pull of it has succeeded. */
  markSucceeded(key: string): void {
    const state = this.#states.get(key);
    if (state === undefined) return;
    const { failure, attempts } = state;
    const lastTry = attempts.at(-1)?.askedAt ?? Number.NEGATIVE_INFINITY;
    // An answer of the fleet causes the same event, which tells nothing about the upstream.
    if (failure !== undefined && failure.answeredAt >= lastTry) return;
    this.#states.delete(key);
  }

  /**
   * True if the upstream has failed for a tag of this registry, for another reason than a
   * credential.
   */
  hasFailedFor(registry: string): boolean {
    for (const [key, { failure }] of this.#states) {
      if (failure?.verdict === 'fails' && key.startsWith(`${registry}/`)) return true;
    }
    return false;
  }

  failure(key: string): Readonly<Failure> | undefined {
    return this.#states.get(key)?.failure;
  }

  /**
   * containerd has failed in the attempts before `now`. From then on the fleet answers, until
   * `retryAt`.
   */
  markFailed(key: string, now: number, verdict: TagProbeResult['verdict']): void {
    const never = Number.NEGATIVE_INFINITY;
    const failure = {
      verdict,
      retryAt: now + UPSTREAM_RETRY_MS,
      answeredAt: never,
      retriedAt: never,
    };
    const later = this.#states.get(key)?.attempts.filter(({ askedAt }) => askedAt >= now) ?? [];
    this.#states.set(key, { attempts: later, failure });
  }

  /** The fleet or the store of this host has answered. */
  markAnswered(key: string, now: number): void {
    const failure = this.#states.get(key)?.failure;
    if (failure !== undefined) failure.answeredAt = now;
  }

  /**
   * True if this request must go to the upstream: once in ten minutes. If the upstream denies the
   * tag, also after each answer of the fleet, because the next pull may have the right credential,
   * and only containerd knows it.
   */
  takeRetry(key: string, now: number): boolean {
    const failure = this.#states.get(key)?.failure;
    if (failure === undefined) return false;
    const isNext = failure.verdict === 'denies' && failure.answeredAt > failure.retriedAt;
    if (now < failure.retryAt && !isNext) return false;
    failure.retriedAt = now;
    failure.retryAt = now + UPSTREAM_RETRY_MS;
    return true;
  }
}

function isRunning({ pulls }: PullAttempt, running: ReadonlySet<string>): boolean {
  return [...pulls.keys()].some((id) => running.has(id));
}

function isRecent({ askedAt }: PullAttempt, now: number): boolean {
  return now - askedAt < ATTEMPT_KEPT_MS;
}

/**
 * The running pulls that can be the cause of a request at `askedAtWall`, without those of other
 * attempts. A pull takes its lease milliseconds before it requests the tag, or longer if it first
 * asked a silent host.
 */
function pullsBehind(
  state: TagState | undefined,
  askedAtWall: number,
  running: readonly RunningPull[],
): readonly RunningPull[] {
  const taken = new Set(state?.attempts.flatMap(({ pulls }) => [...pulls.keys()]));
  // A pull that began later is not the cause.
  const free = running.filter(({ id, startedAt }) => !taken.has(id) && startedAt <= askedAtWall);
  const within = (ms: number) => free.filter(({ startedAt }) => askedAtWall - startedAt <= ms);
  const justNow = within(LEASE_JUST_NOW_MS);
  return justNow.length > 0 ? justNow : within(LEASE_LATE_MS);
}
