import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { type Digest, digestOf } from '../../lib/oci/digest.ts';
import { FLEET_ALWAYS_ANSWERS } from '../../lib/upstream/tag-decision.ts';
import { serve, startPeer } from './raw-peer.ts';
import {
  assertSame,
  manifestOf,
  manifestPath,
  type Node,
  type NodeOptions,
  startNode,
  upstreamGone,
  upstreamThere,
} from './support.ts';

const KEY = 'example.com/test/app:v1';
const yesterday = manifestOf([Buffer.from('config'), Buffer.from('yesterday')]);
const today = manifestOf([Buffer.from('config'), Buffer.from('today')]);

function tag(node: Node, manifest: Buffer): Digest {
  const digest = node.store.add(manifest);
  node.store.tags.set(KEY, digest);
  return digest;
}

/** A node and a peer that holds the tag. */
async function pair(t: TestContext, options: NodeOptions): Promise<{ node: Node; provider: Node }> {
  const provider = await startNode((stop) => t.after(stop));
  tag(provider, yesterday);
  const node = await startNode((stop) => t.after(stop), options);
  node.router.candidates = [provider.candidate];
  return { node, provider };
}

test('while the upstream answers a tag is its to say, here and at peers', async (t) => {
  const { node } = await pair(t, { upstream: upstreamThere });
  for (const isHere of [false, true]) {
    if (isHere) tag(node, today);
    const response = await fetch(`${node.url}${manifestPath('v1')}`, { method: 'HEAD' });
    assert.equal(response.status, 404);
  }
  // The digest is the same everywhere.
  const byDigest = await fetch(`${node.url}${manifestPath(digestOf(yesterday))}`);
  assert.equal(byDigest.status, 200);
});

test('when it does not, the tag comes from the fleet, or from here', async (t) => {
  const { node } = await pair(t, { upstream: upstreamGone });
  const fromFleet = await fetch(`${node.url}${manifestPath('v1')}`);
  assert.equal(fromFleet.headers.get('docker-content-digest'), digestOf(yesterday));
  assertSame(Buffer.from(await fromFleet.arrayBuffer()), yesterday);
  const digest = tag(node, today);
  const fromHere = await fetch(`${node.url}${manifestPath('v1')}`);
  assert.equal(fromHere.headers.get('docker-content-digest'), digest);
});

test('HEAD of a tag tells digest, type and length of what a peer really has', async (t) => {
  const { node } = await pair(t, { upstream: upstreamGone });
  const response = await fetch(`${node.url}${manifestPath('v1')}`, { method: 'HEAD' });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('docker-content-digest'), digestOf(yesterday));
  assert.equal(response.headers.get('content-length'), String(yesterday.byteLength));
  assert.equal(response.headers.get('content-type'), 'application/vnd.oci.image.manifest.v1+json');
});

test('tag-source peers never asks the upstream', async (t) => {
  const never = {
    known: () => assert.fail('asked'),
    answers: () => assert.fail('asked'),
  };
  const { node } = await pair(t, { upstream: never, tagDecider: FLEET_ALWAYS_ANSWERS });
  assert.equal((await fetch(`${node.url}${manifestPath('v1')}`)).status, 200);
  tag(node, today);
  assert.equal((await fetch(`${node.url}${manifestPath('v1')}`)).status, 200);
});

test('an upstream that answers late still has the last word', async (t) => {
  const upstream = {
    known: () => undefined,
    answers: async () => {
      await delay(300);
      return true;
    },
  };
  const { node } = await pair(t, { upstream });
  assert.equal((await fetch(`${node.url}${manifestPath('v1')}`)).status, 404);
});

test("a peer's request for a tag gets the local answer whatever the upstream does", async (t) => {
  const { provider } = await pair(t, {});
  const headers = { 'X-Spegel-Mirrored': 'true' };
  const response = await fetch(`${provider.url}${manifestPath('v1')}`, { headers });
  assert.equal(response.status, 200);
});

test('a peer whose tag does not have the digest that it claims is passed over', async (t) => {
  const { node, provider } = await pair(t, { upstream: upstreamGone });
  const claims = `sha256:${'0'.repeat(64)}`;
  const liar = await startPeer(
    (stop) => t.after(stop),
    (socket) => {
      const length = `Content-Length: ${today.byteLength}`;
      socket.write(`HTTP/1.1 200 OK\r\n${length}\r\nDocker-Content-Digest: ${claims}\r\n\r\n`);
      socket.end(today);
    },
    '127.0.0.2',
  );
  const mute = await startPeer((stop) => t.after(stop), serve(today));
  node.router.candidates = [liar, mute, provider.candidate];
  const response = await fetch(`${node.url}${manifestPath('v1')}`);
  assert.equal(response.headers.get('docker-content-digest'), digestOf(yesterday));
});
