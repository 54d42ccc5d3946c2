import type { IncomingMessage, ServerResponse } from 'node:http';
import { OwnAddresses } from '../http/own-addresses.ts';
import type { Handler } from '../http/server.ts';
import type { KnownPeer } from '../routing/router.ts';

/** `spegel install --check` dials a few of them. */
const MAX_PEERS = 32;

export interface PeersPageParts {
  readonly router: { peers(): number; known(max: number): readonly KnownPeer[] };
  /** Answers everything else. */
  readonly next: Handler;
  /** Which clients are this host itself; tests say so. */
  readonly own?: { has(address: string | undefined): boolean };
}

/**
 * `GET /peers` beside `next`: the peers that this node has met and where they listen, as JSON, for
 * clients on this host alone. Which hosts a fleet has is no matter of those that may read its
 * metrics.
 */
export function peersPage({ router, next, own = new OwnAddresses() }: PeersPageParts): Handler {
  return (request: IncomingMessage, response: ServerResponse, signal) => {
    const isAsked = request.url?.split('?')[0] === '/peers' && request.method === 'GET';
    if (!isAsked || !own.has(request.socket.remoteAddress)) return next(request, response, signal);
    const body = { count: router.peers(), peers: router.known(MAX_PEERS) };
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    return undefined;
  };
}
