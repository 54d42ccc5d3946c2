import { PeerFailure } from '../http/peer-failure.ts';
import type { ByteRange, RangeSpec } from '../http/ranges.ts';
import type { RawExchange } from '../http/raw-exchange.ts';
import { isInflightAnswer } from '../http/response-head.ts';
import type { Digest } from '../oci/digest.ts';
import type { PeerEndpoint } from '../peers/endpoint.ts';
import { askPeer } from './ask.ts';
import { SMALL_BLOB_BYTES } from './constants.ts';
import { type BlobPromise, checkBlob } from './expect.ts';
import type { Fleet } from './fleet.ts';
import { Race, type RaceBounds } from './race.ts';
import type { SourceSelector } from './source-selector.ts';

export interface FleetBlobRequest {
  readonly digest: Digest;
  /** Path and query. */
  readonly path: string;
  /** Undefined for the whole blob. */
  readonly range: RangeSpec | undefined;
  /** The bytes go into this host's containerd. */
  readonly isForHost: boolean;
  /** No other peer has it: suspects may send it although it cannot be checked on the way. */
  readonly takesSuspects?: boolean;
  /** Whether the upstream is known to answer, so that containerd can go on there. */
  readonly isUpstreamThere: () => boolean;
}

export interface FleetBlobAnswer {
  readonly promise: BlobPromise;
  readonly exchange: RawExchange;
  /** The peer still downloads the blob itself. */
  readonly isInflight: boolean;
  close(): void;
}

/**
 * A race for a blob or a range of it. A peer wins when its head is right and its first byte is
 * here.
 */
export function raceForBlob(
  fleet: Fleet,
  { path, range, digest, takesSuspects = false }: FleetBlobRequest,
  selector: SourceSelector,
  { bounds, expected }: { readonly bounds: RaceBounds; readonly expected: number | undefined },
  signal: AbortSignal,
): Race<FleetBlobAnswer> {
  /** A suspect may send only what is read whole and checked. */
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
    const request = { method: 'GET', path, range, watch } as const;
    const { head, exchange } = await askPeer(endpoint, request, fleet, endpointSignal);
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

/** What is missing from `position` on; undefined: a whole blob, for which peers answer 200. */
export function missingRange(
  { range: { end }, size }: { readonly range: ByteRange; readonly size: number },
  position: number,
): RangeSpec | undefined {
  if (end < size) return { kind: 'closed', start: position, last: end - 1 };
  return position === 0 ? undefined : { kind: 'from', start: position };
}
