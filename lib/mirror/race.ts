import { messageOf } from '../base/errors.ts';
import type { Instruments } from '../base/instruments.ts';
import type { Logger } from '../base/log.ts';
import { type FailureKind, PeerFailure } from '../http/peer-failure.ts';
import type { Holders } from './candidates.ts';
import type { Losses } from './circuit-breaker.ts';
import { WAIT_ON_MS } from './inflight-watch.ts';
import { LaneQueue } from './lane-queue.ts';
import type { Lane, Penalties } from './peer-health.ts';

/** What came of asking one address, for the error that containerd shows and for the log. */
export interface Tried extends Lane {
  readonly result: FailureKind;
  readonly message: string;
}

export interface Answered<T> {
  readonly lane: Lane;
  readonly answer: T;
}

/** Asks one peer at one address. Rejects with PeerFailure; the signal ends the answer's body as well. */
export type Ask<T> = (lane: Lane, signal: AbortSignal) => Promise<T>;

export interface RaceParts {
  readonly penalties: Penalties;
  readonly losses: Losses;
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
  readonly #holders: Holders;
  readonly #ask: Ask<T>;
  readonly #signal: AbortSignal;
  readonly #lookup = new AbortController();
  readonly #lanes: LaneQueue;
  readonly #running = new Map<Lane, Running>();
  readonly #result = Promise.withResolvers<Answered<T> | undefined>();
  #done = false;
  #deadline: NodeJS.Timeout | undefined;
  #lookupOver = false;
  #refusals = 0;
  /** How many may be under way now, and how many more after the next silence. */
  #allowed = 1;
  #more = 2;
  /** One entry for each answer that was no good. */
  readonly tried: Tried[] = [];

  constructor(
    parts: RaceParts,
    bounds: RaceBounds,
    holders: Holders,
    ask: Ask<T>,
    signal: AbortSignal,
  ) {
    this.#parts = parts;
    this.#bounds = bounds;
    this.#holders = holders;
    this.#ask = ask;
    this.#signal = signal;
    this.#lanes = new LaneQueue(parts.penalties);
  }

  /**
   * The winner, or undefined: nobody has it, `resolveRetries` said no, or time is up, at the latest
   * HEDGE_BOUND_MS after the resolve timeout, or when `mayWaitOn` says so. To be called once.
   */
  async run(): Promise<Answered<T> | undefined> {
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
        this.#parts.losses.add(performance.now() - startedAt);
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

  #isPatientWith({ peerId }: Lane): boolean {
    return this.#bounds.isPatient?.(peerId) === true;
  }

  async #collect(): Promise<void> {
    try {
      for await (const candidate of this.#holders.candidates(this.#lookup.signal)) {
        if (this.#done) return;
        if (!this.#lanes.add(candidate)) this.#holders.gaveNothing(candidate.peerId);
        this.#proceed();
      }
    } catch (error) {
      this.#parts.log.warn('lookup failed', { error });
    }
    this.#onLookupOver();
  }

  #onDeadline(): void {
    const isAwaited = [...this.#running.keys()].some((lane) => this.#isPatientWith(lane));
    if (isAwaited && this.#bounds.mayWaitOn?.() === true)
      this.#deadline = setTimeout(() => this.#onDeadline(), WAIT_ON_MS);
    else this.#finish(undefined);
  }

  #onLookupOver(): void {
    this.#lookupOver = true;
    this.#proceed();
  }

  #onSilence(): void {
    if (![...this.#running].some(([lane, { startedAt }]) => this.#isOverdue(lane, startedAt)))
      return;
    this.#allowed += this.#more;
    this.#more *= 2;
    this.#proceed();
  }

  #isOverdue(lane: Lane, startedAt: number): boolean {
    const dueMs = Math.min(PATIENT_HEDGE_MS, this.#bounds.resolveTimeoutMs / 2);
    return !this.#isPatientWith(lane) || performance.now() - startedAt >= dueMs;
  }

  #proceed(): void {
    const isRefused = this.#refusals >= Math.max(1, this.#bounds.resolveRetries);
    while (!this.#done && !isRefused && this.#mayStart()) {
      const lane = this.#lanes.next();
      if (lane === undefined) break;
      this.#start(lane);
    }
    const isOver = isRefused
      ? ![...this.#running.keys()].some((lane) => this.#isPatientWith(lane))
      : this.#lookupOver && this.#running.size === 0 && this.#lanes.isEmpty();
    if (isOver) this.#finish(undefined);
  }

  /** Lanes known to be slow are asked beside the others: nobody waits for them. */
  #mayStart(): boolean {
    const lanes = [...this.#running.keys()];
    const waitedFor = lanes.filter((lane) => !this.#parts.penalties.isSlow(lane));
    return waitedFor.length < this.#allowed && lanes.length < MAX_PARALLEL;
  }

  #start(lane: Lane): void {
    const abort = new AbortController();
    this.#running.set(lane, { abort, startedAt: performance.now() });
    this.#ask(lane, AbortSignal.any([this.#signal, abort.signal])).then(
      (answer) => this.#onAnswer(lane, answer),
      (error: unknown) => this.#onFailure(lane, error),
    );
  }

  #onAnswer(lane: Lane, answer: T): void {
    if (this.#done) {
      answer.close();
      return;
    }
    this.#parts.instruments.peerRequests.inc({ result: 'ok' });
    this.#finish({ lane, answer });
  }

  #onFailure(lane: Lane, error: unknown): void {
    if (this.#done) return;
    this.#running.delete(lane);
    this.#judge(lane, error);
    const kind = error instanceof PeerFailure ? error.kind : 'invalid';
    if (['refused', 'denied', 'stalled', 'invalid', 'corrupt', 'suspect'].includes(kind)) {
      this.#lanes.drop(lane.peerId);
      this.#holders.spend(lane.peerId);
    } else {
      this.#lanes.promote(lane.peerId);
      this.#holders.gaveNothing(lane.peerId);
    }
    if (kind === 'refused') this.#refusals += 1;
    this.#proceed();
  }

  #judge(lane: Lane, error: unknown): void {
    const { penalties, instruments, log } = this.#parts;
    const kind = error instanceof PeerFailure ? error.kind : 'invalid';
    const message = messageOf(error);
    // Once for as long as it is not asked again: nobody else can tell the administrator of either host.
    if (kind === 'denied' && !penalties.isBarred(lane))
      log.warn('peer denies us', { ...lane, message });
    penalties.failed(lane, kind);
    instruments.peerRequests.inc({ result: RESULT_OF[kind] });
    log.debug('peer gave nothing', { ...lane, result: kind, message });
    if (this.tried.length < MAX_TRIED) this.tried.push({ ...lane, result: kind, message });
  }

  #finish(winner: Answered<T> | undefined): void {
    if (this.#done) return;
    this.#done = true;
    const won = winner === undefined ? undefined : this.#running.get(winner.lane);
    for (const [lane, { abort, startedAt }] of this.#running) {
      if (lane === winner?.lane) continue;
      if (!this.#signal.aborted && !this.#isPatientWith(lane))
        this.#judgeSilent(lane, startedAt, won?.startedAt);
      abort.abort();
    }
    this.#result.resolve(winner);
  }

  /** One that was still silent when the race ended: dead, slow, or just asked too late to tell. */
  #judgeSilent(lane: Lane, startedAt: number, winnerStartedAt: number | undefined): void {
    const silentMs = performance.now() - startedAt;
    if (silentMs >= DEAD_AFTER_MS) {
      this.#judge(lane, new PeerFailure('silent', `no answer in ${Math.round(silentMs)} ms`));
    } else if (silentMs >= HEDGE_AFTER_MS && startedAt < (winnerStartedAt ?? 0)) {
      this.#parts.penalties.overtaken(lane);
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
