import { BoundedMap } from '../base/bounded-map.ts';
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

/** A pull that containerd is doing now, as its lease shows. */
export interface RunningPull {
  /** Of the lease; unique on this host with the namespace in front. */
  readonly id: string;
  readonly namespace: string;
  /** Wall clock, in milliseconds since 1970. */
  readonly startedAt: number;
}

/** One pull of a tag by this host's containerd that was sent to the upstream. */
export interface PullAttempt {
  /** Monotonic, in milliseconds. */
  readonly askedAt: number;
  /** Wall clock. */
  readonly askedOn: number;
  /** Leases of which one is this pull's, by id. */
  readonly pulls: ReadonlyMap<string, RunningPull>;
  /** The upstream has said what the tag means: whatever ends the pull, it is not that. */
  isResolved: boolean;
}

/** containerd has failed to get a tag from the upstream. */
interface Failure {
  readonly verdict: TagProbeResult['verdict'];
  /** When the upstream is to be tried again whatever our own result is. */
  retryAt: number;
  /** When the fleet last answered: image events since then may come of that. */
  answeredAt: number;
  /** When the upstream was last tried again. */
  retriedAt: number;
}

interface TagState {
  attempts: PullAttempt[];
  failure: Failure | undefined;
}

/**
 * What came of the tags that this host's containerd was sent upstream for. A pull that ends without
 * an image event of that name has failed. All times are given, so that this is arithmetic.
 */
export class PullAttempts {
  readonly #states = new BoundedMap<string, TagState>(MAX_ATTEMPTED_TAGS);

  /**
   * Notes a request that was answered with 404. `running` are the pulls of that moment; requests of
   * one pull, by several targets or for retries, are one try. A request that no pull of containerd
   * stands behind is none.
   */
  add(key: string, askedAt: number, askedOn: number, running: readonly RunningPull[]): void {
    const state = this.#states.get(key) ?? { attempts: [], failure: undefined };
    const pulls = fresh(state, askedOn, running);
    if (pulls.length === 0) return;
    const byId = new Map(pulls.map((pull) => [pull.id, pull]));
    state.attempts = [
      // A pull that downloads for longer keeps others waiting as long.
      ...state.attempts.filter((one) => one.isResolved || isRecent(one, askedAt)),
      { askedAt, askedOn, pulls: byId, isResolved: false },
    ].slice(-MAX_ATTEMPTS_PER_TAG);
    this.#states.set(key, state);
  }

  /** Whether a pull of containerd stands behind a request for the tag. */
  isPullBehind(key: string, askedOn: number, running: readonly RunningPull[]): boolean {
    const state = this.#states.get(key);
    if (fresh(state, askedOn, running).length > 0) return true;
    const ids = new Set(running.map(({ id }) => id));
    return state?.attempts.some((one) => isRunning(one, ids)) ?? false;
  }

  /**
   * The tries of the last ten minutes of which nothing came: none of their pulls runs any more, or
   * the upstream has said nothing for a minute and a half. None while a pull of the tag downloads:
   * others wait for what it gets, and ask for nothing.
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

  /** Whether the upstream has yet to say what a tag of this repository means, for some pull. */
  hasUnresolved(repository: string): boolean {
    return this.#of(repository).some(({ isResolved }) => !isResolved);
  }

  /**
   * Content of this repository is asked for by its digest: the tags of the pulls that run now were
   * resolved.
   */
  markResolved(repository: string, running: readonly RunningPull[]): void {
    const ids = new Set(running.map(({ id }) => id));
    for (const one of this.#of(repository)) if (isRunning(one, ids)) one.isResolved = true;
  }

  /** The tries of all tags of a repository: `docker.io/library/nginx`. */
  #of(repository: string): PullAttempt[] {
    const keys = [...this.#states.keys()].filter((key) => key.startsWith(`${repository}:`));
    return keys.flatMap((key) => this.#states.get(key)?.attempts ?? []);
  }

  /** What they failed of is over, or was never the upstream's fault. */
  forget(key: string): void {
    this.#states.delete(key);
  }

  /** The event stream had a gap: what became of the pulls nobody knows. */
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
    // Of an answer of the fleet the same event comes: it says nothing of the upstream.
    if (failure !== undefined && failure.answeredAt >= lastTry) return;
    this.#states.delete(key);
  }

  /**
   * Whether the upstream has failed for some tag of this registry, and not for want of a
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
   * containerd has failed in the tries before `now`: the fleet answers from then on, until
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

  /** The fleet, or this host's store, has answered. */
  markAnswered(key: string, now: number): void {
    const failure = this.#states.get(key)?.failure;
    if (failure !== undefined) failure.answeredAt = now;
  }

  /**
   * True once in ten minutes: this request goes to the upstream. Where that denies, also after each
   * answer of the fleet: the next pull may have the right credential, which nobody but containerd
   * knows.
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
 * The pulls of which one may be behind a request that came at `askedOn`: those that no other try of
 * that tag has. The lease is made milliseconds before the tag is asked for, unless a target in
 * front of us was silent.
 */
function fresh(
  state: TagState | undefined,
  askedOn: number,
  running: readonly RunningPull[],
): readonly RunningPull[] {
  const taken = new Set(state?.attempts.flatMap(({ pulls }) => [...pulls.keys()]));
  // One that began later cannot be behind it.
  const free = running.filter(({ id, startedAt }) => !taken.has(id) && startedAt <= askedOn);
  const within = (ms: number) => free.filter(({ startedAt }) => askedOn - startedAt <= ms);
  const justNow = within(LEASE_JUST_NOW_MS);
  return justNow.length > 0 ? justNow : within(LEASE_LATE_MS);
}
