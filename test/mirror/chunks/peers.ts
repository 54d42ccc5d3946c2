/** A registry whose body comes from peers that give it at a rate. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { blob, blobPath, type Node, startNode } from '../support.ts';
import { type Fault, RatedPeer } from './rated-peer.ts';

export const MIB = 1024 * 1024;
export const SIZE = 24 * MIB + 13;
/** Bytes per millisecond. Four of these give 40 MB/s, which any machine that runs this can take. */
export const RATE = 10_000;

export interface Peers {
  readonly node: Node;
  readonly bytes: Buffer;
  readonly path: string;
  readonly peers: RatedPeer[];
}

export async function startPeers(
  t: TestContext,
  given: readonly { readonly rate: number; readonly fault?: Fault | undefined }[],
  size = SIZE,
): Promise<Peers> {
  const { bytes, digest } = blob(size);
  const node = await startNode((stop) => t.after(stop));
  const peers: RatedPeer[] = [];
  for (const { rate, fault } of given) {
    const peer = new RatedPeer(bytes, rate, fault);
    peers.push(await peer.start((stop) => t.after(stop)));
  }
  node.router.candidates = peers.flatMap(({ peer }) => (peer ? [peer] : []));
  return { node, bytes, path: blobPath(digest), peers };
}

export async function pull({ node, path }: Peers): Promise<Buffer> {
  const response = await fetch(`${node.url}${path}`);
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

export const dies: Fault['act'] = (_peer, socket) => void socket.resetAndDestroy();

/** What a source may do while it feeds a body. */
export const FAULTS: Readonly<Record<string, Fault['act']>> = {
  dies,
  'ends too early': (_peer, socket) => socket.end(),
  'is deaf': (peer, socket) => {
    peer.isDeaf = true;
    socket.destroy();
  },
  freezes: (peer) => {
    peer.isFrozen = true;
  },
  'slows down': (peer) => {
    peer.bytesPerMs = 50;
  },
  'has the blob no more': (peer, socket) => {
    peer.isEmpty = true;
    socket.destroy();
  },
};
