import { createHash, type Hash } from 'node:crypto';
import type { Body } from '../http/body.ts';
import { Pace } from '../http/pace.ts';
import { PeerFailure } from '../http/peer-failure.ts';
import type { ByteRange, RangeSpec } from '../http/ranges.ts';
import type { RawExchange } from '../http/raw-exchange.ts';
import type { Digest } from '../oci/digest.ts';
import { askPeer } from './ask.ts';
import { type BlobPromise, checkBlob, type ExpectedSize } from './expect.ts';
import type { Fleet } from './fleet.ts';
import type { Holders } from './holders.ts';
import type { Lane } from './penalties.ts';
import { type Answered, Race, type Tried } from './race.ts';

export interface BlobQuestion {
  readonly digest: Digest;
  /** Path and query. */
  readonly path: string;
  /** Undefined for the whole blob. */
  readonly range: RangeSpec | undefined;
  /** Whether the upstream is known to be there, to go on in the fleet's place. */
  readonly upstreamIsThere: () => boolean;
}

interface BlobAnswer {
  readonly promise: BlobPromise;
  readonly exchange: RawExchange;
  close(): void;
}

/**
 * Up to this size (configs, most layers of small images) a lie costs nothing, because the blob is read whole and
 * checked before its first byte is answered.
 */
export const SMALL_BLOB_BYTES = 1024 * 1024;

/**
 * A peer slower than this is not worth the wait while the upstream answers: most are faster, and a pull must not
 * take longer for having found a peer. Judged after so much waiting, which TCP's slow start does not last.
 */
const WORTH_BYTES_PER_S = 512 * 1024;
const WORTH_WINDOW_MS = 1_500;

/** Long enough for every retry of a rollout. */
const SPOILT_MS = 60 * 60_000;

/**
 * A blob, or a range of one, that comes from the fleet: the body goes on when its peers do not. One that dies,
 * freezes or stops short is replaced at the byte where it stopped; when nobody is left `next` rejects. Bytes
 * that start at 0 and run to the end are hashed on the way, and the last piece is held back unless the hash is
 * right: without it containerd cannot commit what it got. The hash costs three times what relaying does; what
 * containerd finds out itself nobody else learns, since its download is collected as soon as the pull has failed.
 */
export class FleetBlob implements Body {
  readonly #fleet: Fleet;
  readonly #question: BlobQuestion;
  readonly #holders: Holders;
  readonly #signal: AbortSignal;
  readonly #hash: Hash | undefined;
  /** Everybody of whom there are bytes in the hash. */
  readonly #contributors = new Map<string, Lane>();
  readonly #pace = new Pace(WORTH_WINDOW_MS, WORTH_BYTES_PER_S);
  #slow = false;
  #current: Answered<BlobAnswer>;
  #position: number;
  #finished = false;
  /** Size of the whole blob in bytes. */
  readonly size: number;
  readonly range: ByteRange;

  /** Undefined when nobody answers; `tried` then tells what was tried. */
  static async open(
    fleet: Fleet,
    question: BlobQuestion,
    holders: Holders,
    tried: Tried[],
    signal: AbortSignal,
  ): Promise<FleetBlob | undefined> {
    const size = fleet.sizes.get(question.digest);
    const expected = size === undefined ? undefined : { size, kind: 'invalid' as const };
    const race = raceFor(fleet, question, expected, holders, signal);
    const winner = await race.run();
    tried.push(...race.tried);
    return winner && new FleetBlob(fleet, question, holders, winner, signal);
  }

  private constructor(
    fleet: Fleet,
    question: BlobQuestion,
    holders: Holders,
    first: Answered<BlobAnswer>,
    signal: AbortSignal,
  ) {
    const { promise } = first.answer;
    this.#fleet = fleet;
    this.#question = question;
    this.#holders = holders;
    this.#signal = signal;
    this.#current = first;
    this.size = promise.size;
    this.range = promise.range;
    this.#position = promise.range.start;
    this.#hash = this.isWhole ? createHash('sha256') : undefined;
  }

  get isWhole(): boolean {
    return this.range.start === 0 && this.range.end === this.size;
  }

  /** To be read whole and checked before its first byte is answered. */
  get isSmall(): boolean {
    return this.isWhole && this.size <= SMALL_BLOB_BYTES;
  }

  /** The peer that sends now. */
  get peerId(): string {
    return this.#current.lane.peerId;
  }

  async next(): Promise<Uint8Array | undefined> {
    const piece = this.#position < this.range.end ? await this.#nextPiece() : undefined;
    this.#contributors.set(this.peerId, this.#current.lane);
    this.#position += piece?.byteLength ?? 0;
    if (piece !== undefined) this.#hash?.update(piece);
    if (this.#position === this.range.end) this.#finish();
    return piece;
  }

  close(): void {
    this.#current.answer.close();
  }

  /** The peer that sends now is to blame. */
  blame(failure: PeerFailure): void {
    this.#fleet.penalties.failed(this.#current.lane, failure.kind);
    this.#holders.spend(this.peerId);
  }

  async #nextPiece(): Promise<Uint8Array> {
    for (;;) {
      const askedAt = performance.now();
      try {
        if (this.#slow && this.#question.upstreamIsThere()) {
          throw new PeerFailure('silent', `slower than ${WORTH_BYTES_PER_S} bytes/s`);
        }
        this.#pace.wait();
        const piece = await this.#current.answer.exchange.next();
        if (piece === undefined) throw new PeerFailure('short', 'the body ended too early');
        this.#slow = this.#pace.tooSlow(piece.byteLength);
        return piece;
      } catch (error) {
        if (this.#signal.aborted || !(error instanceof PeerFailure)) throw error;
        const lostMs = this.#slow ? WORTH_WINDOW_MS : performance.now() - askedAt;
        this.#fleet.losses.add(lostMs);
        await this.#handOver(error);
      }
    }
  }

  async #handOver(failure: PeerFailure): Promise<void> {
    const { log, instruments } = this.#fleet;
    const from = this.peerId;
    this.blame(failure);
    this.close();
    this.#slow = false;
    if (this.#fleet.losses.tooMany && this.#question.upstreamIsThere()) throw failure;
    const question = { ...this.#question, range: this.#rest() };
    // Of two peers that disagree about the length, the one that came later need not be the liar.
    const expected = { size: this.size, kind: 'refused' as const };
    const race = raceFor(this.#fleet, question, expected, this.#holders, this.#signal);
    const winner = await race.run();
    const { digest } = question;
    const fields = {
      digest,
      at: this.#position,
      from,
      reason: failure.kind,
      to: winner?.lane.peerId,
    };
    log.info(winner ? 'body handed over' : 'nobody left to continue the body', fields);
    if (winner === undefined) throw failure;
    instruments.handovers.inc({ reason: failure.kind });
    this.#current = winner;
  }

  /** What is missing; undefined before the first byte of a whole blob, as peers then answer 200. */
  #rest(): RangeSpec | undefined {
    const { end } = this.range;
    if (end < this.size) return { kind: 'closed', start: this.#position, last: end - 1 };
    return this.#position === 0 ? undefined : { kind: 'from', start: this.#position };
  }

  /** All bytes are here. Throws PeerFailure `corrupt` when they are not those of the digest. */
  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    const { penalties, log, onCorrupt } = this.#fleet;
    const digest = this.#hash && `sha256:${this.#hash.digest('hex')}`;
    const lanes = [...this.#contributors.values()];
    if (digest === undefined || digest === this.#question.digest) {
      for (const lane of lanes) penalties.succeeded(lane);
      return;
    }
    const failure = new PeerFailure('corrupt', `expected ${this.#question.digest}, got ${digest}`);
    for (const lane of lanes) {
      penalties.failed(lane, 'corrupt');
      this.#holders.spend(lane.peerId);
    }
    log.warn('peers sent wrong bytes', { digest: this.#question.digest, got: digest, lanes });
    if (!this.isSmall) {
      this.#fleet.spoilt.set(this.#question.digest, true, SPOILT_MS);
      onCorrupt(this.#question.digest);
    }
    throw failure;
  }
}

function raceFor(
  fleet: Fleet,
  { path, range }: BlobQuestion,
  expected: ExpectedSize | undefined,
  holders: Holders,
  signal: AbortSignal,
): Race<BlobAnswer> {
  const question = { method: 'GET', path, range } as const;
  const ask = async (lane: Lane, laneSignal: AbortSignal): Promise<BlobAnswer> => {
    const { head, exchange } = await askPeer(lane, question, fleet.buffers, laneSignal);
    try {
      return { promise: checkBlob(head, range, expected), exchange, close: () => exchange.close() };
    } catch (error) {
      exchange.close();
      throw error;
    }
  };
  return new Race(fleet, fleet.bounds, holders, ask, signal);
}
