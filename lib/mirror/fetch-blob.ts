import { messageOf } from '../base/errors.ts';
import { fairTimeout } from '../base/fair-timeout.ts';
import { type Body, collect, wholeBody } from '../http/body.ts';
import { PeerFailure } from '../http/peer-failure.ts';
import type { ByteRange } from '../http/ranges.ts';
import { askPeer } from './ask.ts';
import type { FleetBlobRequest } from './blob-race.ts';
import { Candidates } from './candidates.ts';
import { SMALL_BLOB_ALONE_MS, SMALL_BLOB_BYTES, SMALL_BLOB_MS } from './constants.ts';
import { checkBlob } from './expect.ts';
import { CLIENT_GONE, type Fleet, Miss } from './fleet.ts';
import { FleetBlob } from './fleet-blob.ts';
import { type AskEndpoint, type FailedAttempt, Race } from './race.ts';
import { type RaceStage, SourceSelector } from './source-selector.ts';

/** A blob, or a range of it, that comes from a peer: the first byte is here. */
export interface FoundBlob {
  /** Size of the whole blob in bytes. */
  readonly size: number;
  /** What the body holds. */
  readonly range: ByteRange;
  /** The peer that sent the first byte. */
  readonly peerId: string;
  /** The address that it was asked at. */
  readonly address: string;
  /** Why that peer was asked, for the log. */
  readonly why: string;
  /** The caller closes it. */
  readonly body: Body;
}

/**
 * Gets a blob from the fleet. A small blob is read whole and checked, and asked of the next peer
 * when its bytes are wrong. Whether a large one was right, containerd finds out.
 */
export async function fetchBlob(
  fleet: Fleet,
  request: FleetBlobRequest & { readonly isShared: boolean },
  signal: AbortSignal,
): Promise<FoundBlob | Miss> {
  const { digest, registry, isShared } = request;
  const isSmall = (fleet.sizes.get(digest) ?? Number.POSITIVE_INFINITY) <= SMALL_BLOB_BYTES;
  const subject = { digest: isShared ? digest : undefined, registry, isSmall };
  const selector = new SourceSelector(fleet, subject, new Candidates(fleet.router, digest));
  const tried: FailedAttempt[] = [];
  const late = new AbortController();
  let stopTimer: (() => void) | undefined;
  const inTime = AbortSignal.any([signal, late.signal]);
  const have = request.range?.kind === 'suffix' ? 0 : (request.range?.start ?? 0);
  try {
    await selector.ask(have, inTime);
    for (let stage: RaceStage = 'first'; ; stage = 'again') {
      const race = { bounds: selector.bounds(stage), tried };
      const blob = await FleetBlob.open(fleet, request, selector, race, inTime);
      if (blob === undefined) {
        if (signal.aborted) return new Miss(CLIENT_GONE, tried);
        if (late.signal.aborted || !selector.giveUpNamed(tried))
          return new Miss(selector.endWithMiss('blob'), tried);
        await selector.ask(have, inTime);
        continue;
      }
      const { size, range, peerId, address, why } = blob;
      if (!blob.isSmall) return { size, range, peerId, address, why, body: blob };
      const usualMs = request.isUpstreamThere() ? SMALL_BLOB_MS : SMALL_BLOB_ALONE_MS;
      stopTimer ??= fairTimeout(selector.wholeMs(usualMs), () => late.abort());
      const startedAt = performance.now();
      const body = await readSmall(blob, late.signal);
      if (body !== undefined) return { size, range, peerId, address, why, body };
      fleet.breaker.addLoss(performance.now() - startedAt);
    }
  } finally {
    stopTimer?.();
  }
}

/** Reads a small blob whole. Undefined when its peer failed, which is then not asked again. */
async function readSmall(blob: FleetBlob, late: AbortSignal): Promise<Body | undefined> {
  try {
    return wholeBody(await collect(blob, blob.size));
  } catch (error) {
    const kind = blob.isInflight ? 'stalled' : 'slow';
    if (late.aborted) blob.blame(new PeerFailure(kind, messageOf(error)));
    return undefined;
  } finally {
    blob.close();
  }
}

/** Asks the fleet for the size of a blob, in bytes. */
export async function fetchBlobSize(
  fleet: Fleet,
  { digest, path }: FleetBlobRequest,
  signal: AbortSignal,
): Promise<number | Miss> {
  const expected = fleet.sizes.get(digest);
  const ask: AskEndpoint<{ size: number; close(): void }> = async (endpoint, endpointSignal) => {
    const request = { method: 'HEAD', path } as const;
    const { head, exchange } = await askPeer(endpoint, request, fleet, endpointSignal);
    try {
      return { size: checkBlob(head, undefined, expected).size, close() {} };
    } finally {
      exchange.close();
    }
  };
  const race = new Race(fleet, fleet.bounds, new Candidates(fleet.router, digest), ask, signal);
  const winner = await race.run();
  return winner?.answer.size ?? new Miss('no peer has this blob', race.tried);
}
