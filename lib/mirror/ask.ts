import type { BufferPool } from '../http/buffers.ts';
import { PeerFailure } from '../http/peer-failure.ts';
import { formatRange, type RangeSpec } from '../http/ranges.ts';
import { RawExchange } from '../http/raw-exchange.ts';
import type { ResponseHead } from '../http/response-head.ts';
import type { Lane } from './penalties.ts';

/** Marks a request of a peer: it gets local content only, so that requests never go round. Go Spegel's name. */
export const MIRRORED_HEADER = 'X-Spegel-Mirrored';

/** Names the libp2p peer that answers. Go Spegel does not send it. */
export const PEER_HEADER = 'X-Spegel-Peer';

export interface Question {
  readonly method: 'GET' | 'HEAD';
  /** Path and query. */
  readonly path: string;
  readonly range?: RangeSpec | undefined;
}

/**
 * Asks one peer at one address. Rejects with PeerFailure, `stranger` when another host answers: every host has
 * a 172.17.0.1 of its own, and ours is not the peer's. The caller closes the exchange.
 */
export async function askPeer(
  lane: Lane,
  { method, path, range }: Question,
  buffers: BufferPool,
  signal: AbortSignal,
): Promise<{ readonly head: ResponseHead; readonly exchange: RawExchange }> {
  const headers = {
    'User-Agent': 'spegel',
    Accept: '*/*',
    [MIRRORED_HEADER]: 'true',
    ...(range === undefined ? {} : { Range: formatRange(range) }),
  };
  const request = { address: lane.address, method, path, headers };
  const opened = await RawExchange.open(request, buffers, signal);
  const answering = opened.head.headers.get(PEER_HEADER.toLowerCase());
  if (answering === undefined || answering === lane.peerId) return opened;
  opened.exchange.close();
  throw new PeerFailure('stranger', `${lane.address} is ${answering.slice(0, 80)}`);
}
