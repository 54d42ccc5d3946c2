import { messageOf } from '../base/errors.ts';
import { fairTimeout } from '../base/fair-timeout.ts';
import type { Instruments } from '../base/instruments.ts';
import type { Logger } from '../base/log.ts';
import { type FailureKind, PeerFailure } from '../http/peer-failure.ts';
import type { PeerEndpoint } from '../peers/endpoint.ts';
import type { PeerHealth } from '../peers/peer-health.ts';
import { type Candidates, EndpointQueue } from './candidates.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import {
  DEAD_AFTER_MS,
  INFLIGHT_HEDGE_AFTER_MS,
  MAX_ATTEMPTS_TOLD,
  MAX_PARALLEL,
  RACE_HEDGE_AFTER_MS,
  RACE_HEDGE_BOUND_MS,
  STARVED_RECHECK_MS,
} from './constants.ts';

/** An endpoint that was asked in vain, for the error that containerd shows. */
export interface FailedAttempt extends PeerEndpoint {
  readonly result: FailureKind;
  readonly message: string;
}

export interface RaceWinner<T> {
  readonly endpoint: PeerEndpoint;
  readonly answer: T;
}

/**
 * Asks one peer at one address. Rejects with PeerFailure; the signal ends the answer's body as
 * well.
 */
export type AskEndpoint<T> = (endpoint: PeerEndpoint, signal: AbortSignal) => Promise<T>;

export interface RaceParts {
  readonly peerHealth: PeerHealth;
  readonly breaker: CircuitBreaker;
  readonly instruments: Instruments;
  readonly log: Logger;
}

export interface RaceBounds {
  /** How long the lookup for candidates may take. */
  readonly resolveTimeoutMs: number;
  /** This many peers that say no end the race, unless it still waits for one that `mayBeSilent`. */
  readonly resolveRetries: number;
  /**
   * The peer may have nothing to send yet: it is waited for, and its silence is not held against
   * it.
   */
  readonly mayBeSilent?: (peerId: string) => boolean;
  /** Time is up while a peer that `mayBeSilent` is asked: whether it gets a moment more. */
  readonly mayWaitLonger?: () => boolean;
}

/** One for all races: an error that `abort` makes itself costs a stack trace for each blob. */
const IS_OVER = new Error('the race is over');

interface Running {
  readonly abort: AbortController;
  readonly startedAt: number;
}

/**
 * Asks the candidates of a key, in their order, until one answers well. The first is asked alone;
 * after a moment of silence two more are asked, then four more. So a healthy fleet is asked once,
 * and one live peer among many dead ones still answers in time. The first good answer wins, and the
 * other requests end at once.
 */
export class Race<T extends { close(): void }> {
  readonly #parts: RaceParts;
  readonly #bounds: RaceBounds;
  readonly #candidates: Candidates;
  readonly #ask: AskEndpoint<T>;
  readonly #signal: AbortSignal;
  readonly #lookup = new AbortController();
  readonly #endpoints: EndpointQueue;
  readonly #running = new Map<PeerEndpoint, Running>();
  readonly #result = Promise.withResolvers<RaceWinner<T> | undefined>();
  #isDone = false;
  /** Each stops a timer. */
  #stopDeadline = () => {};
  #stopHedge = () => {};
  #isLookupOver = false;
  #refusals = 0;
  /** How many endpoints may be waited for at once, and how many more after the next silence. */
  #allowed = 1;
  #more = 2;
  /** The attempts that gave nothing, up to MAX_ATTEMPTS_TOLD. */
  readonly tried: FailedAttempt[] = [];

  constructor(
    parts: RaceParts,
    bounds: RaceBounds,
    candidates: Candidates,
    ask: AskEndpoint<T>,
    signal: AbortSignal,
  ) {
    this.#parts = parts;
    this.#bounds = bounds;
    this.#candidates = candidates;
    this.#ask = ask;
    this.#signal = signal;
    this.#endpoints = new EndpointQueue(parts.peerHealth);
  }

  /**
   * Returns the winner, or undefined: no peer has it, `resolveRetries` peers said no, or time is
   * up. That is RACE_HEDGE_BOUND_MS after the resolve timeout, or later while `mayWaitLonger`. Must
   * be called only once.
   */
  async run(): Promise<RaceWinner<T> | undefined> {
    const { resolveTimeoutMs } = this.#bounds;
    const stopLookup = fairTimeout(resolveTimeoutMs, () => this.#onLookupOver());
    this.#endIn(resolveTimeoutMs + RACE_HEDGE_BOUND_MS);
    this.#hedge();
    const onAbort = () => this.#finish(undefined);
    this.#signal.addEventListener('abort', onAbort, { once: true });
    try {
      if (this.#signal.aborted) return undefined;
      void this.#collect();
      const startedAt = performance.now();
      const winner = await this.#result.promise;
      // A lookup that found no candidate, or a race that had a winner, cost containerd nothing.
      if (winner === undefined && this.tried.length > 0) {
        this.#parts.breaker.addLoss(performance.now() - startedAt);
      }
      return winner;
    } finally {
      stopLookup();
      this.#stopDeadline();
      this.#stopHedge();
      this.#signal.removeEventListener('abort', onAbort);
      this.#lookup.abort(IS_OVER);
    }
  }

  #mayBeSilent({ peerId }: PeerEndpoint): boolean {
    return this.#bounds.mayBeSilent?.(peerId) === true;
  }

  async #collect(): Promise<void> {
    try {
      for await (const candidate of this.#candidates.inOrder(this.#lookup.signal)) {
        if (this.#isDone) return;
        if (!this.#endpoints.add(candidate)) this.#candidates.gaveNothing(candidate.peerId);
        this.#proceed();
      }
    } catch (error) {
      this.#parts.log.warn('lookup failed', { error });
    }
    this.#onLookupOver();
  }

  #endIn(ms: number): void {
    this.#stopDeadline = fairTimeout(ms, () => {
      const isAwaited = [...this.#running.keys()].some((endpoint) => this.#mayBeSilent(endpoint));
      if (isAwaited && this.#bounds.mayWaitLonger?.() === true) this.#endIn(STARVED_RECHECK_MS);
      else this.#finish(undefined);
    });
  }

  #onLookupOver(): void {
    this.#isLookupOver = true;
    this.#proceed();
  }

  /** Again and again, more endpoints are asked if one of those that are asked is overdue. */
  #hedge(): void {
    this.#stopHedge = fairTimeout(RACE_HEDGE_AFTER_MS, () => {
      this.#hedge();
      const running = [...this.#running];
      if (!running.some(([endpoint, { startedAt }]) => this.#isOverdue(endpoint, startedAt)))
        return;
      this.#allowed += this.#more;
      this.#more *= 2;
      this.#proceed();
    });
  }

  #isOverdue(endpoint: PeerEndpoint, startedAt: number): boolean {
    const dueMs = Math.min(INFLIGHT_HEDGE_AFTER_MS, this.#bounds.resolveTimeoutMs / 2);
    return !this.#mayBeSilent(endpoint) || performance.now() - startedAt >= dueMs;
  }

  #proceed(): void {
    const isRefused = this.#refusals >= Math.max(1, this.#bounds.resolveRetries);
    while (!this.#isDone && !isRefused && this.#mayStart()) {
      const endpoint = this.#endpoints.next();
      if (endpoint === undefined) break;
      this.#start(endpoint);
    }
    const isOver = isRefused
      ? ![...this.#running.keys()].some((endpoint) => this.#mayBeSilent(endpoint))
      : this.#isLookupOver && this.#running.size === 0 && this.#endpoints.isEmpty();
    if (isOver) this.#finish(undefined);
  }

  /** Endpoints that were overtaken lately are asked beside the others, and not waited for. */
  #mayStart(): boolean {
    const endpoints = [...this.#running.keys()];
    const waitedFor = endpoints.filter((endpoint) => !this.#parts.peerHealth.isOvertaken(endpoint));
    return waitedFor.length < this.#allowed && endpoints.length < MAX_PARALLEL;
  }

  #start(endpoint: PeerEndpoint): void {
    const abort = new AbortController();
    this.#running.set(endpoint, { abort, startedAt: performance.now() });
    this.#ask(endpoint, AbortSignal.any([this.#signal, abort.signal])).then(
      (answer) => this.#onAnswer(endpoint, answer),
      (error: unknown) => this.#onFailure(endpoint, error),
    );
  }

  #onAnswer(endpoint: PeerEndpoint, answer: T): void {
    const startedAt = this.#running.get(endpoint)?.startedAt;
    this.#running.delete(endpoint);
    if (this.#isDone) {
      answer.close();
      return;
    }
    this.#parts.instruments.peerRequests.inc({ result: 'ok' });
    this.#finish({ endpoint, answer }, startedAt);
  }

  #onFailure(endpoint: PeerEndpoint, error: unknown): void {
    this.#running.delete(endpoint);
    if (this.#isDone) return;
    this.#record(endpoint, error);
    const kind = error instanceof PeerFailure ? error.kind : 'invalid';
    if (['refused', 'denied', 'stalled', 'invalid', 'corrupt', 'suspect'].includes(kind)) {
      this.#endpoints.drop(endpoint.peerId);
      this.#candidates.spend(endpoint.peerId);
    } else {
      this.#endpoints.promote(endpoint.peerId);
      this.#candidates.gaveNothing(endpoint.peerId);
    }
    if (kind === 'refused') this.#refusals += 1;
    this.#proceed();
  }

  #record(endpoint: PeerEndpoint, error: unknown): void {
    const { peerHealth, instruments, log } = this.#parts;
    const kind = error instanceof PeerFailure ? error.kind : 'invalid';
    const message = messageOf(error);
    const fields = { peer: endpoint.peerId, address: endpoint.address };
    // Nobody else can tell the administrator of either host. Once for as long as it stays barred.
    if (kind === 'denied' && !peerHealth.isBarred(endpoint))
      log.warn('peer denies us', { ...fields, message });
    peerHealth.failed(endpoint, kind);
    instruments.peerRequests.inc({ result: RESULT_OF[kind] });
    log.debug('peer gave nothing', { ...fields, result: kind, message });
    if (this.tried.length < MAX_ATTEMPTS_TOLD)
      this.tried.push({ ...endpoint, result: kind, message });
  }

  #finish(winner: RaceWinner<T> | undefined, winnerStartedAt = 0): void {
    if (this.#isDone) return;
    this.#isDone = true;
    const endOthers = () => {
      for (const [endpoint, { abort, startedAt }] of this.#running) {
        if (!this.#signal.aborted && !this.#mayBeSilent(endpoint))
          this.#recordSilence(endpoint, startedAt, winnerStartedAt);
        abort.abort(IS_OVER);
      }
    };
    // The answers of others may have come before the winner's, while this process was busy.
    if (winner === undefined) endOthers();
    else setImmediate(endOthers);
    this.#result.resolve(winner);
  }

  /** The endpoint was still silent when the race ended: dead, slow, or asked too late to tell. */
  #recordSilence(endpoint: PeerEndpoint, startedAt: number, winnerStartedAt: number): void {
    const silentMs = performance.now() - startedAt;
    if (silentMs >= DEAD_AFTER_MS) {
      this.#record(endpoint, new PeerFailure('silent', `no answer in ${Math.round(silentMs)} ms`));
    } else if (silentMs >= RACE_HEDGE_AFTER_MS && startedAt < winnerStartedAt) {
      this.#parts.peerHealth.overtaken(endpoint);
    }
  }
}

/** The label of the metric for each kind of failure. */
const RESULT_OF: Readonly<Record<FailureKind, string>> = {
  refused: 'refused',
  denied: 'refused',
  silent: 'silent',
  slow: 'silent',
  unreachable: 'unreachable',
  reset: 'unreachable',
  short: 'unreachable',
  stalled: 'refused',
  invalid: 'invalid',
  stranger: 'invalid',
  corrupt: 'invalid',
  suspect: 'invalid',
};
