import { collect } from '../http/body.ts';
import { PeerFailure } from '../http/peer-failure.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { parseManifest } from '../oci/manifest.ts';
import { askPeer } from './ask.ts';
import { checkManifest } from './expect.ts';
import { type Fleet, Miss } from './fleet.ts';
import { Holders } from './holders.ts';
import { type Ask, Race } from './race.ts';

/** A manifest whose bytes have the digest. */
export interface FoundManifest {
  readonly digest: Digest;
  readonly content: Buffer;
  /** As the document says. */
  readonly mediaType: string;
  /** The peer it came from. */
  readonly peerId: string;
}

/**
 * Gets a manifest from the fleet. It is read and checked inside the race, so that a peer with wrong or slow
 * bytes costs what a dead one costs. `digest` is undefined for a tag: then the bytes must have the digest
 * that the peer claims.
 */
export async function fetchManifest(
  fleet: Fleet,
  key: string,
  path: string,
  digest: Digest | undefined,
  signal: AbortSignal,
): Promise<FoundManifest | Miss> {
  const ask: Ask<FoundManifest & { close(): void }> = async (lane, laneSignal) => {
    const question = { method: 'GET', path } as const;
    const { head, exchange } = await askPeer(lane, question, fleet.buffers, laneSignal);
    try {
      const expected = checkManifest(head, digest);
      const content = await collect(exchange, head.contentLength);
      return { ...checkContent(content, expected), peerId: lane.peerId, close() {} };
    } finally {
      exchange.close();
    }
  };
  const race = new Race(fleet, fleet.bounds, new Holders(fleet.router, key), ask, signal);
  const winner = await race.run();
  if (winner === undefined) return new Miss('no peer has this manifest', race.tried);
  fleet.penalties.succeeded(winner.lane);
  return winner.answer;
}

function checkContent(content: Buffer, expected: Digest) {
  const digest = digestOf(content);
  if (digest !== expected) throw new PeerFailure('corrupt', `expected ${expected}, got ${digest}`);
  const manifest = parseManifest(content);
  // Of a type that we do not know: the upstream can say which it is, a peer is not believed.
  if (manifest === undefined) throw new PeerFailure('refused', `${digest} is no manifest we know`);
  return { digest, content, mediaType: manifest.mediaType };
}
