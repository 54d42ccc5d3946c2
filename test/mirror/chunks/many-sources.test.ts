import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delay } from '../../../lib/base/abortable.ts';
import { assertSame } from '../support.ts';
import { dies, FAULTS, MIB, pull, RATE, SIZE, startPeers } from './peers.ts';
import { RatedPeer } from './rated-peer.ts';

const four = [{ rate: RATE }, { rate: RATE }, { rate: RATE }, { rate: RATE }];

test('four holders share a body that one of them cannot give fast enough', async (t) => {
  const all = await startPeers(t, four);
  assertSame(await pull(all), all.bytes);
  for (const { sent } of all.peers) assert.ok(sent > 2 * MIB, `${sent} bytes`);
  const sum = all.peers.reduce((total, { sent }) => total + sent, 0);
  assert.ok(sum < SIZE + 6 * MIB, `${sum} bytes sent for ${SIZE}`);
});

test('a range is shared inside its bounds', async (t) => {
  const all = await startPeers(t, four);
  const headers = { Range: `bytes=${MIB + 7}-${20 * MIB}` };
  const response = await fetch(`${all.node.url}${all.path}`, { headers });
  assert.equal(response.status, 206);
  assertSame(Buffer.from(await response.arrayBuffer()), all.bytes.subarray(MIB + 7, 20 * MIB + 1));
  for (const { peer } of all.peers) {
    for (const head of peer?.requests ?? []) {
      const [, start, last] = /^range: bytes=(\d+)-(\d+)/im.exec(head) ?? [];
      assert.ok(Number(start) >= MIB + 7 && Number(last) <= 20 * MIB, head);
    }
  }
});

test('the only holder is asked once', async (t) => {
  const all = await startPeers(t, [{ rate: RATE }]);
  assertSame(await pull(all), all.bytes);
  assert.equal(all.peers[0]?.peer?.requests.length, 1);
});

test('a client that stands still holds no peer, and gets the rest', async (t) => {
  const all = await startPeers(t, four);
  const response = await fetch(`${all.node.url}${all.path}`);
  const reader = response.body?.getReader();
  assert.ok(reader);
  const pieces: Uint8Array[] = [];
  let have = 0;
  while (have < 12 * MIB) {
    const { value } = await reader.read();
    assert.ok(value);
    pieces.push(value);
    have += value.byteLength;
  }
  // All of the rest fits into the window, so each answer is complete long before.
  await delay(3_000);
  assert.deepEqual(
    all.peers.map(({ running }) => running),
    [0, 0, 0, 0],
  );
  for (;;) {
    const { value } = await reader.read();
    if (value === undefined) break;
    pieces.push(value);
  }
  assertSame(Buffer.concat(pieces), all.bytes);
});

test('a client that leaves ends all answers', async (t) => {
  const all = await startPeers(t, four);
  const abort = new AbortController();
  const response = await fetch(`${all.node.url}${all.path}`, { signal: abort.signal });
  const reader = response.body?.getReader();
  for (let have = 0; have < 6 * MIB; ) have += (await reader?.read())?.value?.byteLength ?? 0;
  abort.abort();
  await delay(500);
  const before = all.peers.reduce((sum, { sent }) => sum + sent, 0);
  await delay(500);
  const after = all.peers.reduce((sum, { sent }) => sum + sent, 0);
  assert.equal(after, before);
});

for (const [name, act] of Object.entries(FAULTS)) {
  test(`a source ${name} while four feed a body`, async (t) => {
    const fault = { afterBytes: 3 * MIB, act };
    const all = await startPeers(t, [{ rate: RATE }, { rate: RATE, fault }, ...four.slice(2)]);
    assertSame(await pull(all), all.bytes);
  });

  test(`the first source ${name} while four feed a body`, async (t) => {
    const fault = { afterBytes: 3 * MIB, act };
    const all = await startPeers(t, [{ rate: RATE, fault }, ...four.slice(1)]);
    assertSame(await pull(all), all.bytes);
  });
}

test('when all sources die, a holder that is found then goes on at their byte', async (t) => {
  const fault = { afterBytes: 3 * MIB, act: dies };
  const all = await startPeers(t, [
    { rate: RATE, fault },
    { rate: RATE, fault },
    { rate: RATE, fault },
  ]);
  const later = await new RatedPeer(all.bytes, 4 * RATE).start((stop) => t.after(stop));
  const response = await fetch(`${all.node.url}${all.path}`);
  assert.ok(later.peer);
  all.node.router.candidates = [later.peer];
  assertSame(Buffer.from(await response.arrayBuffer()), all.bytes);
});

test('a source that answers no request any more is left, also when it is the last', async (t) => {
  const all = await startPeers(t, [
    { rate: RATE },
    { rate: RATE, fault: { afterBytes: 2 * MIB, act: dies } },
  ]);
  const response = await fetch(`${all.node.url}${all.path}`);
  const reader = response.body?.getReader();
  for (let have = 0; have < 5 * MIB; ) have += (await reader?.read())?.value?.byteLength ?? 0;
  const [first] = all.peers;
  assert.ok(first);
  first.isDeaf = true;
  const deadline = performance.now() + 10_000;
  // The body ends early, and containerd goes on at the upstream.
  await assert.rejects(async () => {
    while ((await reader?.read())?.done === false);
  });
  assert.ok(performance.now() < deadline);
});

test('a holder that gives the whole blob for a range is not barred', async (t) => {
  const all = await startPeers(t, [{ rate: RATE }, { rate: RATE }, { rate: RATE }]);
  const [first, second] = all.peers;
  assert.ok(first && second?.peer);
  second.knowsNoRange = true;
  assertSame(await pull(all), all.bytes);
  all.node.router.candidates = [second.peer];
  assertSame(await pull(all), all.bytes);
});

test('a source that paused is asked again', async (t) => {
  const fault = {
    afterBytes: 6 * MIB,
    act: (peer: RatedPeer) => {
      if (hasPaused) return;
      hasPaused = true;
      peer.pauseMs = 600;
    },
  };
  let hasPaused = false;
  const all = await startPeers(t, [{ rate: 2 * RATE, fault }, { rate: RATE / 2 }], 64 * MIB);
  assertSame(await pull(all), all.bytes);
  assert.ok((all.peers[0]?.sent ?? 0) > 24 * MIB, `${all.peers[0]?.sent} bytes`);
});

test('a small blob, which is checked whole, comes from one peer', async (t) => {
  const all = await startPeers(t, [{ rate: 800 }, { rate: 800 }], MIB);
  assertSame(await pull(all), all.bytes);
  const heads = all.peers.flatMap(({ peer }) => peer?.requests ?? []);
  assert.ok(heads.length > 0);
  for (const head of heads) assert.doesNotMatch(head, /^range:/im);
});

test('a lookup that goes on does not hold a body whose sources are all gone', async (t) => {
  const fault = { afterBytes: 3 * MIB, act: dies };
  const all = await startPeers(t, [
    { rate: RATE, fault },
    { rate: RATE, fault },
  ]);
  all.node.router.lingerMs = 20_000;
  const startedAt = performance.now();
  await assert.rejects(pull(all));
  assert.ok(performance.now() - startedAt < 10_000);
});
