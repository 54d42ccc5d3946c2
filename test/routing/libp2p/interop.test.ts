import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { sha256 } from 'multiformats/hashes/sha2';
import { connect, startLibraryNode } from '../../../lab/routing/plain-node.ts';
import { digestKey, startNode, until, untilFound } from './fleet.ts';

/** The CID that Go Spegel makes of a key: CIDv1, raw, sha2-256 of the key's text. */
async function cidOf(key: string): Promise<CID> {
  return CID.create(1, raw.code, await sha256.digest(new TextEncoder().encode(key)));
}

test("a node with the library's own DHT finds our keys and we find its", async (t) => {
  const ours = await startNode(t);
  const theirs = await startLibraryNode(t);
  ours.router.advertise([digestKey(1)]);
  await connect(theirs, ours.endpoint);
  await until(() => ours.router.peers() === 1);

  const signal = AbortSignal.timeout(10_000);
  const cid = await cidOf(digestKey(1));
  await until(async () => {
    const found: string[] = [];
    for await (const event of theirs.services.dht.findProviders(cid, { signal })) {
      if (event.name === 'PROVIDER') found.push(...event.providers.map(({ id }) => id.toString()));
    }
    return found.includes(ours.router.peerId);
  });

  for await (const _ of theirs.services.dht.provide(await cidOf(digestKey(2)), { signal })) {
    // until it has told all peers
  }
  const { candidates } = await untilFound(ours, digestKey(2));
  // A foreign peer has no /http address: its registry is taken to be on our own port, as Go Spegel
  // takes it.
  assert.deepEqual(candidates, [
    { peerId: theirs.peerId.toString(), addresses: [`127.0.0.1:${ours.registryPort}`] },
  ]);
});

test('one of ours is found through a library node that alone knows both', async (t) => {
  const hub = await startLibraryNode(t);
  const address = hub.getMultiaddrs()[0]?.toString() ?? '';
  const a = await startNode(t, { peers: [address] });
  const b = await startNode(t, { peers: [address] });
  a.router.advertise([digestKey(1)]);
  assert.deepEqual((await untilFound(b, digestKey(1))).ids, [a.router.peerId]);
});
