import { messageOf } from '../base/errors.ts';
import type { Instruments } from '../base/instruments.ts';
import type { Logger } from '../base/log.ts';
import { type FailureKind, PeerFailure } from '../http/peer-failure.ts';
import type { Candidates } from './candidates.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import { STARVED_RECHECK_MS } from './inflight-watch.ts';
import { EndpointQueue } from './lane-queue.ts';
import type { PeerEndpoint, PeerHealth } from './peer-health.ts';

/** What came of asking one address, for the error that containerd shows and for the log. */
export interface FailedAttempt extends PeerEndpoint {
  readonly result: FailureKind;
  readonly message: string;
}

export interface RaceWinner<T> {
  readonly endpoint: PeerEndpoint;
  readonly answer: T;
}

/** Asks one peer at one address. Rejects with PeerFailure; the signal ends the answer's body as well. */
export type AskEndpoint<T> = (endpoint: PeerEndpoint, signal: AbortSignal) => Promise<T>;

export interface RaceParts {
  readonly peerHealth: PeerHealth;
  readonly breaker: CircuitBreaker;
  readonly instruments: Instruments;
  readonly log: Logger;
}

export interface RaceBounds {
  /** To the first candidate. */
  readonly resolveTimeoutMs: number;
  /** That many peers that say no end the race, unless one is under way that we are patient with. */
  readonly resolveRetries: number;
  /** Who may have nothing to send yet: his silence to the end is not death, and he is waited for. */
  readonly isPatient?: (peerId: string) => boolean;
  /** Time is up, and somebody that we are patient with was asked: may he have a moment more? */
  readonly mayWaitOn?: () => boolean;
}

interface Running {
  readonly abort: AbortController;
  readonly startedAt: number;
}

/**
 * Asks the holders of a key until one answers well. The best is asked alone; when it is silent for a moment,
 * two more, then four more, so that one live peer among many dead ones answers in time and a healthy fleet is
 * asked once. The first good answer wins, the others are ended at once.
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
  #done = false;
  #deadline: NodeJS.Timeout | undefined;
  #lookupOver = false;
  #refusals = 0;
  /** How many may be under way now, and how many more after the next silence. */
  #allowed = 1;
  #more = 2;
  /** One entry for each answer that was no good. */
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
   * The winner, or undefined: nobody has it, `resolveRetries` said no, or time is up, at the latest
   * HEDGE_BOUND_MS after the resolve timeout, or when `mayWaitOn` says so. To be called once.
   */
  async run(): Promise<RaceWinner<T> | undefined> {
    const { resolveTimeoutMs } = this.#bounds;
    const patience = setTimeout(() => this.#onLookupOver(), resolveTimeoutMs);
    this.#deadline = setTimeout(() => this.#onDeadline(), resolveTimeoutMs + HEDGE_BOUND_MS);
    const hedge = setInterval(() => this.#onSilence(), HEDGE_AFTER_MS);
    const onAbort = () => this.#finish(undefined);
    this.#signal.addEventListener('abort', onAbort, { once: true });
    try {
      if (this.#signal.aborted) return undefined;
      void this.#collect();
      const startedAt = performance.now();
      const winner = await this.#result.promise;
      // Nobody was asked: a miss. Somebody won: the hedges were worth it.
      if (winner === undefined && this.tried.length > 0) {
        this.#parts.breaker.addLoss(performance.now() - startedAt);
      }
      return winner;
    } finally {
      clearTimeout(patience);
      clearTimeout(this.#deadline);
      clearInterval(hedge);
      this.#signal.removeEventListener('abort', onAbort);
      this.#lookup.abort();
    }
  }

  #isPatientWith({ peerId }: PeerEndpoint): boolean {
    return this.#bounds.isPatient?.(peerId) === true;
  }

  async #collect(): Promise<void> {
    try {
      for await (const candidate of this.#candidates.candidates(this.#lookup.signal)) {
        if (this.#done) return;
        if (!this.#endpoints.add(candidate)) this.#candidates.gaveNothing(candidate.peerId);
        this.#proceed();
      }
    } catch (error) {
      this.#parts.log.warn('lookup failed', { error });
    }
    this.#onLookupOver();
  }

  #onDeadline(): void {
    const isAwaited = [...this.#running.keys()].some((endpoint) => this.#isPatientWith(endpoint));
    if (isAwaited && this.#bounds.mayWaitOn?.() === true)
      this.#deadline = setTimeout(() => this.#onDeadline(), STARVED_RECHECK_MS);
    else this.#finish(undefined);
  }

  #onLookupOver(): void {
    this.#lookupOver = true;
    this.#proceed();
  }

  #onSilence(): void {
    if (
      ![...this.#running].some(([endpoint, { startedAt }]) => this.#isOverdue(endpoint, startedAt))
    )
      return;
    this.#allowed += this.#more;
    this.#more *= 2;
    this.#proceed();
  }

  #isOverdue(endpoint: PeerEndpoint, startedAt: number): boolean {
    const dueMs = Math.min(PATIENT_HEDGE_MS, this.#bounds.resolveTimeoutMs / 2);
    return !this.#isPatientWith(endpoint) || performance.now() - startedAt >= dueMs;
  }

  #proceed(): void {
    const isRefused = this.#refusals >= Math.max(1, this.#bounds.resolveRetries);
    while (!this.#done && !isRefused && this.#mayStart()) {
      const endpoint = this.#endpoints.next();
      if (endpoint === undefined) break;
      this.#start(endpoint);
    }
    const isOver = isRefused
      ? ![...this.#running.keys()].some((endpoint) => this.#isPatientWith(endpoint))
      : this.#lookupOver && this.#running.size === 0 && this.#endpoints.isEmpty();
    if (isOver) this.#finish(undefined);
  }

  /** Lanes known to be slow are asked beside the others: nobody waits for them. */
  #mayStart(): boolean {
    const endpoints = [...this.#running.keys()];
    const waitedFor = endpoints.filter((endpoint) => !this.#parts.peerHealth.isSlow(endpoint));
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
    if (this.#done) {
      answer.close();
      return;
    }
    this.#parts.instruments.peerRequests.inc({ result: 'ok' });
    this.#finish({ endpoint, answer });
  }

  #onFailure(endpoint: PeerEndpoint, error: unknown): void {
    if (this.#done) return;
    this.#running.delete(endpoint);
    this.#judge(endpoint, error);
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

  #judge(endpoint: PeerEndpoint, error: unknown): void {
    const { peerHealth, instruments, log } = this.#parts;
    const kind = error instanceof PeerFailure ? error.kind : 'invalid';
    const message = messageOf(error);
    // Once for as long as it is not asked again: nobody else can tell the administrator of either host.
    if (kind === 'denied' && !peerHealth.isBarred(endpoint))
      log.warn('peer denies us', { ...endpoint, message });
    peerHealth.failed(endpoint, kind);
    instruments.peerRequests.inc({ result: RESULT_OF[kind] });
    log.debug('peer gave nothing', { ...endpoint, result: kind, message });
    if (this.tried.length < MAX_TRIED) this.tried.push({ ...endpoint, result: kind, message });
  }

  #finish(winner: RaceWinner<T> | undefined): void {
    if (this.#done) return;
    this.#done = true;
    const won = winner === undefined ? undefined : this.#running.get(winner.endpoint);
    for (const [endpoint, { abort, startedAt }] of this.#running) {
      if (endpoint === winner?.endpoint) continue;
      if (!this.#signal.aborted && !this.#isPatientWith(endpoint))
        this.#judgeSilent(endpoint, startedAt, won?.startedAt);
      abort.abort();
    }
    this.#result.resolve(winner);
  }

  /** One that was still silent when the race ended: dead, slow, or just asked too late to tell. */
  #judgeSilent(
    endpoint: PeerEndpoint,
    startedAt: number,
    winnerStartedAt: number | undefined,
  ): void {
    const silentMs = performance.now() - startedAt;
    if (silentMs >= DEAD_AFTER_MS) {
      this.#judge(endpoint, new PeerFailure('silent', `no answer in ${Math.round(silentMs)} ms`));
    } else if (silentMs >= HEDGE_AFTER_MS && startedAt < (winnerStartedAt ?? 0)) {
      this.#parts.peerHealth.overtaken(endpoint);
    }
  }
}

/** A LAN peer answers in 1 to 5 ms, a loaded one in 20; Go Spegel gives its peers 100. */
export const HEDGE_AFTER_MS = 50;

/** Somebody who is getting it himself is silent for good reasons: others are asked only when that looks like death. */
const PATIENT_HEDGE_MS = 500;

/**
 * What asking may take beyond the resolve timeout. Five silences: 1 + 2 + 4 + 8 … peers have been asked, and the
 * last of them had 50 ms and more to answer.
 */
export const HEDGE_BOUND_MS = 250;

/** Less silence than this says nothing about a peer that was asked late. */
const DEAD_AFTER_MS = 200;

/** Connections of one race at once. */
const MAX_PARALLEL = 16;

/** Entries of an error's detail. */
const MAX_TRIED = 16;

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
