import { PeerFailure } from '../http/peer-failure.ts';
import type { RangeSpec } from '../http/ranges.ts';
import type { RawExchange } from '../http/raw-exchange.ts';
import type { Digest } from '../oci/digest.ts';
import { askPeer } from './ask.ts';
import { type BlobPromise, checkBlob } from './expect.ts';
import type { Fleet } from './fleet.ts';
import { isInflightAnswer } from './inflight-watch.ts';
import type { PeerEndpoint } from './peer-health.ts';
import { Race, type RaceBounds } from './race.ts';
import type { SourceSelector } from './source-selector.ts';

/**
 * Up to this size (configs, most layers of small images) a lie costs nothing, because the blob is read whole and
 * checked before its first byte is answered.
 */
export const SMALL_BLOB_BYTES = 1024 * 1024;

export interface FleetBlobRequest {
  readonly digest: Digest;
  /** Path and query. */
  readonly path: string;
  /** Undefined for the whole blob. */
  readonly range: RangeSpec | undefined;
  /** What comes lands in this host's store. */
  readonly isForHost: boolean;
  /** Suspects may send what cannot be checked before it is passed on: nobody else has it. */
  readonly takesSuspects?: boolean;
  /** Whether the upstream is known to be there, to go on in the fleet's place. */
  readonly upstreamIsThere: () => boolean;
}

export interface FleetBlobAnswer {
  readonly promise: BlobPromise;
  readonly exchange: RawExchange;
  /** The peer is still getting it itself. */
  readonly isInflight: boolean;
  close(): void;
}

/** Asks the holders of a blob, or of a range of it, until one promises what is right and has sent its first byte. */
export function raceForBlob(
  fleet: Fleet,
  { path, range, digest, takesSuspects = false }: FleetBlobRequest,
  selector: SourceSelector,
  { bounds, expected }: { readonly bounds: RaceBounds; readonly expected: number | undefined },
  signal: AbortSignal,
): Race<FleetBlobAnswer> {
  /** Of a suspect only what is read whole and checked. */
  const refuseSuspect = (endpoint: PeerEndpoint, size: number): void => {
    const isChecked = range === undefined && size <= SMALL_BLOB_BYTES;
    if (takesSuspects || isChecked || !fleet.suspects.has(endpoint)) return;
    fleet.checks.offer({ endpoint, digest, path });
    throw new PeerFailure('suspect', 'it has sent wrong bytes before');
  };
  const ask = async (
    endpoint: PeerEndpoint,
    endpointSignal: AbortSignal,
  ): Promise<FleetBlobAnswer> => {
    refuseSuspect(endpoint, fleet.sizes.get(digest) ?? 0);
    const watch = selector.watch(endpoint, path, endpointSignal);
    const question = { method: 'GET', path, range, watch } as const;
    const { head, exchange } = await askPeer(endpoint, question, fleet, endpointSignal);
    try {
      const promise = checkBlob(head, range, expected);
      refuseSuspect(endpoint, promise.size);
      const isInflight = watch !== undefined && isInflightAnswer(head);
      return { promise, exchange, isInflight, close: () => exchange.close() };
    } catch (error) {
      exchange.close();
      throw error;
    }
  };
  return new Race(fleet, bounds, selector.candidates, ask, signal);
}
