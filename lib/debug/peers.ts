import { OwnAddresses } from '../http/own-addresses.ts';
import type { Handler } from '../http/server.ts';
import type { Held } from '../peers/held.ts';
import { peerRecords } from '../peers/peer-records.ts';
import type { KnownPeer } from '../routing/router.ts';

/** `spegel install --check` dials a few of them. */
const MAX_PEERS = 32;

/** Of so many it is said how they fare. */
const MAX_JUDGED = 512;

export interface PeersPageParts {
  readonly router: { peers(): number; known(max: number): readonly KnownPeer[] };
  /** What is held against peers now. */
  readonly held: () => readonly Held[];
  /** Handles all other requests. */
  readonly next: Handler;
  /** Knows the addresses of this host. Tests pass their own. */
  readonly own?: { has(address: string | undefined): boolean };
}

/**
 * Handles `GET /peers`, for clients on this host only: the peers that this node has met, their
 * addresses, and what is held against them, as JSON. Other clients that may read the metrics must
 * not see the hosts of the fleet.
 */
export function peersPage({
  router,
  held,
  next,
  own = new OwnAddresses(),
}: PeersPageParts): Handler {
  return (request, response, ...rest) => {
    const isAsked = request.url?.split('?')[0] === '/peers' && request.method === 'GET';
    if (!isAsked || !own.has(request.socket.remoteAddress)) return next(request, response, ...rest);
    const body = {
      count: router.peers(),
      peers: router.known(MAX_PEERS),
      health: peerRecords(router.known(MAX_JUDGED), held()),
    };
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    return undefined;
  };
}
