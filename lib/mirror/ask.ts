import { printable } from '../base/printable.ts';
import {
  INFLIGHT_HEADER,
  MIRRORED_HEADER,
  PEER_HEADER,
  PROOF_HEADER,
  SIGNATURE_HEADER,
} from '../base/spegel-headers.ts';
import type { PeerConnections } from '../http/peer-connections.ts';
import { PeerFailure } from '../http/peer-failure.ts';
import type { Watch } from '../http/peer-silence.ts';
import { formatRange, type RangeSpec } from '../http/ranges.ts';
import { RawExchange } from '../http/raw-exchange.ts';
import type { ResponseHead } from '../http/response-head.ts';
import type { NetworkKeys } from '../network-key/network-key.ts';
import { isProof, signRequest } from '../network-key/signature.ts';
import type { PeerEndpoint } from '../peers/endpoint.ts';

export interface PeerRequest {
  readonly method: 'GET' | 'HEAD';
  /** Path and query. */
  readonly path: string;
  readonly range?: RangeSpec | undefined;
  /**
   * When it is set, the peer may send content that it still downloads, and `watch` judges the peer
   * while it sends nothing.
   */
  readonly watch?: Watch | undefined;
}

/** What a request to a peer needs of this host. */
export interface PeerRequestParts {
  readonly connections: PeerConnections;
  /** Undefined: the network is open, and nothing is signed. */
  readonly networkKeys: NetworkKeys | undefined;
}

export interface PeerHeaders {
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Whether the answer to this request comes from our closed network. For a tag nothing else
   * vouches for what the answer says.
   */
  provesTag(head: ResponseHead): boolean;
}

/**
 * The headers of a request to a peer. They ask for local content only, so that no request goes
 * round; in a closed network they sign it.
 */
export function peerHeaders(
  networkKeys: NetworkKeys | undefined,
  request: Pick<PeerRequest, 'method' | 'path'>,
): PeerHeaders {
  const headers = { [MIRRORED_HEADER]: 'true' };
  if (networkKeys === undefined) return { headers, provesTag: () => true };
  const [key] = networkKeys.accepted();
  const signature = signRequest(key, request);
  return {
    headers: { ...headers, [SIGNATURE_HEADER]: signature },
    provesTag(head) {
      const digest = head.headers.get('docker-content-digest') ?? '';
      return isProof(key, signature, digest, head.headers.get(PROOF_HEADER.toLowerCase()));
    },
  };
}

/**
 * Asks one peer at one address. Rejects with PeerFailure, `stranger` when another host answers:
 * every host has a 172.17.0.1 of its own, and this host's is not the peer's. The caller closes the
 * exchange.
 */
export async function askPeer(
  endpoint: PeerEndpoint,
  { method, path, range, watch }: PeerRequest,
  { connections, networkKeys }: PeerRequestParts,
  signal: AbortSignal,
): Promise<{
  readonly head: ResponseHead;
  readonly exchange: RawExchange;
  readonly provesTag: boolean;
}> {
  const asPeer = peerHeaders(networkKeys, { method, path });
  const headers = {
    'User-Agent': 'spegel',
    Accept: '*/*',
    ...asPeer.headers,
    ...(range === undefined ? {} : { Range: formatRange(range) }),
    ...(watch === undefined ? {} : { [INFLIGHT_HEADER]: 'true' }),
  };
  const request = { address: endpoint.address, method, path, headers };
  const opened = await RawExchange.open(request, connections, signal, watch);
  const answering = opened.head.headers.get(PEER_HEADER.toLowerCase());
  if (answering === undefined || answering === endpoint.peerId) {
    return { ...opened, provesTag: asPeer.provesTag(opened.head) };
  }
  opened.exchange.close();
  throw new PeerFailure('stranger', `${endpoint.address} is ${printable(answering, 80)}`);
}
