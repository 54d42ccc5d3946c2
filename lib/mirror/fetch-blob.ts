import { messageOf } from '../base/errors.ts';
import { type Body, collect, wholeBody } from '../http/body.ts';
import { PeerFailure } from '../http/peer-failure.ts';
import type { ByteRange } from '../http/ranges.ts';
import { askPeer } from './ask.ts';
import { type FleetBlobRequest, SMALL_BLOB_BYTES } from './blob-request.ts';
import { Candidates } from './candidates.ts';
import { checkBlob } from './expect.ts';
import { CLIENT_GONE, type Fleet, Miss } from './fleet.ts';
import { FleetBlob } from './fleet-blob.ts';
import { type AskEndpoint, type FailedAttempt, Race } from './race.ts';
import { type RaceStage, SourceSelector } from './source-selector.ts';

/** A blob, or a range of it, that is on its way from a peer: the first byte is here. */
export interface FoundBlob {
  /** Size of the whole blob in bytes. */
  readonly size: number;
  /** What the body holds. */
  readonly range: ByteRange;
  /** The peer that sent the first byte. */
  readonly peerId: string;
  /** And where that was. */
  readonly address: string;
  /** Why it was that one, for the log. */
  readonly why: string;
  /** The caller closes it. */
  readonly body: Body;
}

/**
 * Gets a blob from the fleet. A small one is read whole and checked first, and asked of the next peer when its
 * bytes are wrong; of a large one containerd finds out.
 */
export async function fetchBlob(
  fleet: Fleet,
  question: FleetBlobRequest & { readonly isShared: boolean },
  signal: AbortSignal,
): Promise<FoundBlob | Miss> {
  const { digest, isShared } = question;
  const isSmall = (fleet.sizes.get(digest) ?? Number.POSITIVE_INFINITY) <= SMALL_BLOB_BYTES;
  const subject = { digest: isShared ? digest : undefined, isSmall };
  const selector = new SourceSelector(fleet, subject, new Candidates(fleet.router, digest));
  const tried: FailedAttempt[] = [];
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const inTime = AbortSignal.any([signal, late.signal]);
  const have = question.range?.kind === 'suffix' ? 0 : (question.range?.start ?? 0);
  try {
    await selector.ask(have, inTime);
    for (let stage: RaceStage = 'first'; ; stage = 'again') {
      const race = { bounds: selector.bounds(stage), tried };
      const blob = await FleetBlob.open(fleet, question, selector, race, inTime);
      if (blob === undefined) {
        if (signal.aborted) return new Miss(CLIENT_GONE, tried);
        if (late.signal.aborted || !selector.again(tried))
          return new Miss(selector.missed('blob'), tried);
        await selector.ask(have, inTime);
        continue;
      }
      const { size, range, peerId, address, why } = blob;
      if (!blob.isSmall) return { size, range, peerId, address, why, body: blob };
      const patience = question.upstreamIsThere() ? SMALL_BLOB_MS : SMALL_BLOB_ALONE_MS;
      timer ??= setTimeout(() => late.abort(), selector.wholeMs(patience));
      const startedAt = performance.now();
      const body = await readSmall(blob, late.signal);
      if (body !== undefined) return { size, range, peerId, address, why, body };
      fleet.breaker.addLoss(performance.now() - startedAt);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a small blob whole. Undefined when its peer failed; that peer will not be asked again. */
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
    const question = { method: 'HEAD', path } as const;
    const { head, exchange } = await askPeer(endpoint, question, fleet, endpointSignal);
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

/**
 * For all peers together from the first answer on, while containerd waits for the first byte of a small blob:
 * 1 MiB at 16 Mbit/s, or at 4 when there is no upstream to ask instead.
 */
const SMALL_BLOB_MS = 500;
const SMALL_BLOB_ALONE_MS = 2_000;
