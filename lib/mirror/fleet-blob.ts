import { createHash, type Hash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Body } from '../http/body.ts';
import { PeerFailure } from '../http/peer-failure.ts';
import type { ByteRange } from '../http/ranges.ts';
import { type Digest, hexOf } from '../oci/digest.ts';
import {
  type FleetBlobAnswer,
  type FleetBlobRequest,
  missingRange,
  raceForBlob,
} from './blob-race.ts';
import { BodyContributors } from './body-contributors.ts';
import { BodySources } from './chunks/body-sources.ts';
import { FLOOR_WINDOW_MS, SMALL_BLOB_BYTES } from './constants.ts';
import type { Fleet } from './fleet.ts';
import { saysSpoilt } from './inflight-watch.ts';
import type { FailedAttempt, RaceBounds, RaceWinner } from './race.ts';
import type { SourceSelector } from './source-selector.ts';
import { ThroughputWatch, type Transfer } from './throughput.ts';

/**
 * A blob, or a range of one, that comes from the fleet. A peer that dies, freezes, slows down or
 * stops short is replaced at the byte where it stopped; when no other has the blob, `next` rejects.
 * A small blob is hashed. Whether a large one was right, containerd finds out and tells `verdicts`.
 */
export class FleetBlob implements Body, Transfer {
  readonly #fleet: Fleet;
  readonly #request: FleetBlobRequest;
  readonly #selector: SourceSelector;
  readonly #signal: AbortSignal;
  readonly #hash: Hash | undefined;
  readonly #contributors: BodyContributors;
  #spoilt: PeerFailure | undefined;
  #throughput: ThroughputWatch;
  #sources: BodySources;
  #current: RaceWinner<FleetBlobAnswer>;
  #position: number;
  #isFinished = false;
  /** Size of the whole blob in bytes. */
  readonly size: number;
  readonly range: ByteRange;

  /** Undefined when no peer answers within the bounds; adds the attempts that failed to `tried`. */
  static async open(
    fleet: Fleet,
    request: FleetBlobRequest,
    selector: SourceSelector,
    { bounds, tried }: { readonly bounds: RaceBounds; readonly tried: FailedAttempt[] },
    signal: AbortSignal,
  ): Promise<FleetBlob | undefined> {
    const expected = fleet.sizes.get(request.digest);
    const race = raceForBlob(fleet, request, selector, { bounds, expected }, signal);
    const winner = await race.run();
    tried.push(...race.tried);
    return winner && new FleetBlob(fleet, request, selector, winner, signal);
  }

  private constructor(
    fleet: Fleet,
    request: FleetBlobRequest,
    selector: SourceSelector,
    first: RaceWinner<FleetBlobAnswer>,
    signal: AbortSignal,
  ) {
    const { promise } = first.answer;
    this.#fleet = fleet;
    this.#request = request;
    this.#selector = selector;
    this.#signal = signal;
    this.#current = first;
    this.size = promise.size;
    this.range = promise.range;
    this.#position = promise.range.start;
    const verdicts = request.isForHost && !this.isSmall ? fleet.verdicts : undefined;
    this.#contributors = new BodyContributors(verdicts, request.digest);
    this.#hash = this.isSmall ? createHash('sha256') : undefined;
    fleet.transfers.add(this);
    this.#throughput = this.#newThroughputWatch();
    this.#sources = this.#newSources(first);
    selector.setSource(this.peerId);
  }

  get isWhole(): boolean {
    return this.range.start === 0 && this.range.end === this.size;
  }

  /** To be read whole and checked before its first byte is answered. */
  get isSmall(): boolean {
    return this.isWhole && this.size <= SMALL_BLOB_BYTES;
  }

  get digest(): Digest {
    return this.#request.digest;
  }

  /** The peer that sends now. */
  get peerId(): string {
    return this.#current.endpoint.peerId;
  }

  get address(): string {
    return this.#current.endpoint.address;
  }

  async next(): Promise<Uint8Array | undefined> {
    try {
      const piece = this.#position < this.range.end ? await this.#nextPiece() : undefined;
      if (!this.#sources.areMany) this.#contributors.add(this.#current.endpoint, this.isInflight);
      this.#position += piece?.byteLength ?? 0;
      if (piece !== undefined) this.#hash?.update(piece);
      if (this.#position < this.range.end) return piece;
      this.#finish();
      await this.#contributors.areWatched;
      return piece;
    } catch (error) {
      await this.#contributors.areWatched;
      throw error;
    }
  }

  /** The peer has contributed by then: the kernel sends only what comes behind a piece. */
  async send(client: Socket): Promise<number> {
    if (this.#hash !== undefined || this.#spoilt !== undefined) return 0;
    const sent = await this.#sources.send(client);
    this.#position += sent;
    this.#throughput.add(sent);
    return sent;
  }

  spoil(reason: string): void {
    this.#spoilt ??= new PeerFailure('corrupt', reason);
  }

  /** Why the bytes come from the peer that sends now, for the log. */
  get why(): string {
    return this.#selector.reasonFor(this.peerId);
  }

  close(): void {
    this.#fleet.transfers.delete(this);
    this.#sources.close();
  }

  /** The peer that sends now still downloads the blob itself. */
  get isInflight(): boolean {
    return this.#current.answer.isInflight;
  }

  /** For the log. */
  get #where() {
    return { digest: this.digest, at: this.#position, from: this.peerId };
  }

  /** Holds the failure against the peer that sends now. */
  blame(failure: PeerFailure): void {
    this.#fleet.peerHealth.failed(this.#current.endpoint, failure.kind);
    this.#selector.giveUp(this.peerId, failure.kind);
  }

  #newSources(winner: RaceWinner<FleetBlobAnswer>): BodySources {
    const asked = { fleet: this.#fleet, request: this.#request, selector: this.#selector };
    const body = { size: this.size, isChecked: this.isSmall, contributors: this.#contributors };
    return new BodySources({ ...asked, ...body, signal: this.#signal }, winner, this.range.end);
  }

  #newThroughputWatch(): ThroughputWatch {
    const { sharing, transfers } = this.#fleet;
    const total = (rate: number) => transfers.total(this, rate);
    return new ThroughputWatch({ sharing, bounds: this.#selector, total });
  }

  async #nextPiece(): Promise<Uint8Array> {
    for (;;) {
      if (!this.#sources.areMany) await this.#considerBetter();
      const askedAt = performance.now();
      const tooSlow = this.#throughput.tooSlow(this.isInflight, this.#request.isUpstreamThere);
      if (this.#spoilt !== undefined) throw this.#spoilt;
      try {
        if (tooSlow !== undefined) throw tooSlow;
        this.#throughput.wait();
        const piece = await this.#sources.next(this.#position);
        if (piece === undefined) throw new PeerFailure('short', 'the body ended too early');
        this.#throughput.took(piece.byteLength, this.isInflight);
        return piece;
      } catch (error) {
        if (this.#signal.aborted || !(error instanceof PeerFailure)) throw error;
        // A slow peer has sent bytes all the time: what another would have saved is a guess.
        const guessedMs = this.isInflight ? 0 : FLOOR_WINDOW_MS;
        this.#fleet.breaker.addLoss(
          tooSlow === undefined ? performance.now() - askedAt : guessedMs,
        );
        if (tooSlow !== undefined && this.isInflight)
          this.#fleet.peerHealth.inflightWasSlow(this.#current.endpoint);
        await this.#handOver(error);
      }
    }
  }

  /** Goes on with another peer at the same byte, or throws. */
  async #handOver(failure: PeerFailure): Promise<void> {
    const { log, instruments } = this.#fleet;
    const where = this.#where;
    if (this.isInflight && this.#request.isForHost) void this.#askWhetherSpoilt();
    if (this.#sources.areMany) this.#sources.giveUp(failure.kind);
    else this.blame(failure);
    this.#sources.close();
    this.#throughput = this.#newThroughputWatch();
    if (this.#fleet.breaker.isOpen && this.#request.isUpstreamThere()) {
      this.#selector.setSource(undefined);
      throw failure;
    }
    const role = await this.#selector.ask(this.#position, this.#signal);
    if (role !== 'plain') instruments.inflightReassignments.inc({ reason: failure.kind });
    const winner = await this.#raceForRest();
    const to = winner?.endpoint.peerId;
    const what = winner ? 'body handed over' : 'no peer left, containerd goes on from the upstream';
    log.info(what, { ...where, reason: failure.kind, role, to });
    if (!this.#signal.aborted) this.#selector.setSource(to);
    if (winner === undefined) throw failure;
    instruments.handovers.inc({ reason: failure.kind });
    this.#goOnWith(winner);
  }

  /**
   * An in-flight source ends for many reasons. It says when asked that its own bytes were wrong.
   */
  async #askWhetherSpoilt(): Promise<void> {
    const { verdicts } = this.#fleet;
    const { path, digest } = this.#request;
    if (await saysSpoilt(this.#current.endpoint, path, this.#fleet, this.#signal))
      verdicts.spoil(digest, 'the peer that it came from has found its own bytes wrong');
  }

  /**
   * The peer is held up further up, or gives less than was to be expected: the tracker may know a
   * better source, or have this host get the rest from the upstream for all. No peer is blamed.
   */
  async #considerBetter(): Promise<void> {
    const lack = this.#throughput.lack(this.range.end - this.#position);
    const wanted = lack && this.#request.isUpstreamThere() ? lack : undefined;
    if (wanted === undefined && !this.#selector.isHeldUp) return;
    const where = this.#where;
    const role = await this.#selector.ask(this.#position, this.#signal, wanted);
    if (role === 'lead' && wanted !== undefined) this.#takeOver(wanted);
    const isOther = role === 'follow' && !this.#selector.isNamed(this.peerId);
    const winner = isOther ? await this.#raceForRest() : undefined;
    if (winner !== undefined) {
      this.#sources.close();
      this.#goOnWith(winner);
      this.#fleet.log.info('body moved to a better source', { ...where, to: this.peerId });
      this.#fleet.instruments.inflightReassignments.inc({ reason: 'better' });
    }
    this.#selector.setSource(this.peerId);
  }

  /** From this byte on this host leads: its containerd goes upstream. */
  #takeOver(wanted: number): never {
    const { log, instruments } = this.#fleet;
    log.info('the leader is slow, containerd goes on from the upstream', {
      ...this.#where,
      wanted,
    });
    instruments.inflightReassignments.inc({ reason: 'slow' });
    this.#selector.setSource(undefined);
    throw new PeerFailure('slow', `less than ${Math.round(wanted)} bytes/s`);
  }

  #raceForRest(): Promise<RaceWinner<FleetBlobAnswer> | undefined> {
    const request = { ...this.#request, range: missingRange(this, this.#position) };
    const limits = { bounds: this.#selector.bounds('middle'), expected: this.size };
    return raceForBlob(this.#fleet, request, this.#selector, limits, this.#signal).run();
  }

  #goOnWith(winner: RaceWinner<FleetBlobAnswer>): void {
    this.#current = winner;
    this.#sources = this.#newSources(winner);
    this.#throughput = this.#newThroughputWatch();
  }

  /** All bytes are here. Throws PeerFailure `corrupt` when those of a small blob are wrong. */
  #finish(): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    const { peerHealth, log } = this.#fleet;
    const endpoints = [...this.#contributors.endpoints];
    const hex = this.#hash?.digest('hex');
    if (hex === undefined || hex === hexOf(this.digest)) {
      for (const endpoint of endpoints) peerHealth.succeeded(endpoint);
      return;
    }
    this.#contributors.wereWrong(this.#fleet, this.isInflight);
    for (const { peerId } of endpoints) this.#selector.giveUp(peerId, 'corrupt');
    log.warn('peers sent wrong bytes', { digest: this.digest, got: hex, endpoints });
    throw new PeerFailure('corrupt', `expected ${this.digest}, got sha256:${hex}`);
  }
}
