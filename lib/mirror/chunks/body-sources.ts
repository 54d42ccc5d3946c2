import type { Socket } from 'node:net';
import type { FailureKind } from '../../http/peer-failure.ts';
import type { FleetBlobAnswer } from '../blob-race.ts';
import type { RaceWinner } from '../race.ts';
import type { ChunkPlan } from './chunk-window.ts';
import {
  CHUNK_MS,
  FIRST_CHUNK_MS,
  FIRST_STEP_BYTES,
  LOOK_PAUSE_MS,
  MAX_CHUNK_BYTES,
  MIN_CHUNK_BYTES,
  MIN_REST_MS,
} from './constants.ts';
import { ManySources, type ManySourcesParts } from './many-sources.ts';
import { SourceLimit } from './source-limit.ts';

/**
 * Where the bytes of a body come from: one peer's open-ended answer, as long as it keeps up with
 * the client. When the client waits for it, others that have the whole blob give the rest with it,
 * in chunks.
 */
export class BodySources {
  readonly #parts: ManySourcesParts;
  readonly #winner: RaceWinner<FleetBlobAnswer>;
  /** Of the body, in the blob. */
  readonly #end: number;
  readonly #limit = new SourceLimit();
  #many: ManySources | undefined;
  #isShared = false;
  /** On the monotonic clock in milliseconds. */
  #lookFrom = 0;

  constructor(parts: ManySourcesParts, winner: RaceWinner<FleetBlobAnswer>, end: number) {
    this.#parts = parts;
    this.#winner = winner;
    this.#end = end;
  }

  /** Bytes come in chunks: each is noted as its peer's. */
  get areMany(): boolean {
    return this.#many !== undefined;
  }

  /** The bytes from `position` on, as `Body.next`. Rejects with PeerFailure. */
  async next(position: number): Promise<Uint8Array | undefined> {
    this.#considerOthers(position);
    if (this.#many?.isBehindFirst && !this.#isShared) {
      const surplus = this.#decide(this.#many);
      if (surplus !== undefined) return surplus;
    }
    if (this.#many !== undefined) return this.#many.next();
    this.#limit.wait();
    const piece = await this.#winner.answer.exchange.next();
    this.#limit.took(piece?.byteLength ?? 0);
    this.#parts.fleet.ownLink.add(piece?.byteLength ?? 0);
    return piece;
  }

  /** As `Body.send`. */
  async send(client: Socket): Promise<number> {
    // The peer's answer fills a chunk meanwhile.
    if (this.#many !== undefined) return 0;
    const sent = await this.#winner.answer.exchange.send(client);
    this.#limit.add(sent);
    this.#parts.fleet.ownLink.add(sent);
    return sent;
  }

  /** None of the peers that give chunks is to be asked again for this body. */
  giveUp(kind: FailureKind): void {
    this.#many?.giveUp(kind);
  }

  close(): void {
    this.#many?.close();
    this.#winner.answer.close();
  }

  #considerOthers(position: number): void {
    const { rate } = this.#limit;
    if (rate === undefined || this.#many !== undefined || this.#winner.answer.isInflight) return;
    if (this.#parts.isChecked || performance.now() < this.#lookFrom) return;
    const { ownLink, connections } = this.#parts.fleet;
    // Of more connections, each gets less memory in the kernel, and none is kept.
    if (ownLink.isFull || connections.buffers.isCrowded) return;
    const plan = planFor(position, this.#end, rate);
    if (plan === undefined) return;
    const { endpoint, answer } = this.#winner;
    const open = { endpoint, exchange: answer.exchange, rate };
    this.#many = new ManySources(this.#parts, open, plan);
  }

  /** The first chunk is handed on. Returns what came behind it when its source goes on alone. */
  #decide(many: ManySources): Uint8Array | undefined {
    if (!many.isAloneBetter) {
      this.#isShared = true;
      many.share();
      return undefined;
    }
    const surplus = many.takeSurplus();
    many.close();
    this.#many = undefined;
    this.#lookFrom = performance.now() + LOOK_PAUSE_MS;
    return surplus;
  }
}

/** Undefined: at `rate` bytes per millisecond the rest comes before a second source pays. */
function planFor(position: number, end: number, rate: number): ChunkPlan | undefined {
  const rest = end - position;
  const wanted = Math.floor((rate * CHUNK_MS) / MIN_CHUNK_BYTES) * MIN_CHUNK_BYTES;
  const chunkBytes = Math.min(MAX_CHUNK_BYTES, Math.max(MIN_CHUNK_BYTES, wanted));
  const steps = Math.ceil((rate * FIRST_CHUNK_MS) / FIRST_STEP_BYTES);
  const firstBytes = Math.min(chunkBytes, steps * FIRST_STEP_BYTES);
  if (rest < rate * MIN_REST_MS || rest < 2 * firstBytes) return undefined;
  return { range: { start: position, end }, firstBytes, chunkBytes };
}
