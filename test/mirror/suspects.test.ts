import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/processes/exec.ts';
import { silentLogger } from '../../lib/base/log.ts';
import { BufferPool } from '../../lib/http/buffers.ts';
import { RELAY_BUFFERS } from '../../lib/http/constants.ts';
import { PeerConnections } from '../../lib/http/peer-connections.ts';
import { SuspectChecks } from '../../lib/mirror/suspect-checks.ts';
import { Suspects } from '../../lib/peers/suspects.ts';
import { serve, startPeer } from './raw-peer.ts';
import { blob, blobPath } from './support.ts';

const HOUR_MS = 60 * 60_000;
const endpoint = (peerId: string, address: string) => ({ peerId, address });

test('a suspect is known by its address without the port, and by its id', () => {
  const suspects = new Suspects({ log: silentLogger }, {});
  suspects.accuse(endpoint('a', '10.0.0.1:5000'));
  assert.equal(suspects.has(endpoint('b', '10.0.0.1:6000')), true);
  assert.equal(suspects.has(endpoint('a', '10.0.0.2:5000')), true);
  assert.equal(suspects.has(endpoint('b', '10.0.0.2:5000')), false);
  suspects.accuse(endpoint('c', '[2001:db8:1:2::5]:5000'));
  assert.equal(suspects.has(endpoint('d', '[2001:db8:1:2:3:4:5:6]:5000')), true, 'its own /64');
  assert.equal(suspects.has(endpoint('d', '[2001:db8:1:3::5]:5000')), false);
  assert.equal(suspects.has(endpoint('d', '[::1]:5000')), false);
});

test('it may be checked after an hour, sooner when it was misled; each time later', () => {
  let now = 0;
  const suspects = new Suspects({ log: silentLogger, now: () => now }, {});
  const liar = endpoint('liar', '10.0.0.1:5000');
  const misled = endpoint('misled', '10.0.0.2:5000');
  suspects.accuse(liar);
  suspects.accuseInflight(misled);
  now = HOUR_MS - 1;
  assert.deepEqual([suspects.mayCheck(liar), suspects.mayCheck(misled)], [false, true]);
  now = HOUR_MS;
  assert.equal(suspects.mayCheck(liar), true);
  assert.equal(suspects.has(liar), true, 'time alone clears nobody');
  suspects.clear(liar);
  assert.equal(suspects.has(liar), false);
  suspects.accuse(liar);
  now += 2 * HOUR_MS - 1;
  assert.equal(suspects.mayCheck(liar), false);
  now += 1;
  assert.equal(suspects.mayCheck(liar), true);
});

test('the liar is not known: for a while only peers are trusted that have proved themselves', () => {
  let now = 0;
  const suspects = new Suspects({ log: silentLogger, now: () => now }, {});
  const [misled, proven, other] = [1, 2, 3].map((n) => endpoint(`p${n}`, `10.0.0.${n}:5000`));
  assert.ok(misled && proven && other);
  suspects.prove(proven);
  suspects.accuseInflight(misled);
  const trusted = () => [misled, proven, other].map((one) => !suspects.has(one));
  assert.deepEqual(trusted(), [false, true, false]);
  assert.equal(suspects.isAccused(other), false);
  assert.equal(suspects.has(endpoint('p2', '10.0.0.3:5000')), true, 'its name at another address');
  now = 10 * 60_000;
  assert.deepEqual([suspects.isAlarmed, ...trusted()], [false, false, true, true]);
});

test('what costs no pull accuses an address, whatever name it uses', () => {
  const suspects = new Suspects({ log: silentLogger }, {});
  suspects.accuseAddress(endpoint('honest', '10.0.0.66:5000'));
  assert.equal(suspects.has(endpoint('honest', '10.0.0.1:5000')), false);
  assert.equal(suspects.has(endpoint('liar', '10.0.0.66:5001')), true);
});

test('a flood of liars forgets the oldest alone', () => {
  const suspects = new Suspects({ log: silentLogger }, {});
  for (let at = 0; at < 5_000; at += 1)
    suspects.accuse(endpoint(`id-${at}`, `10.1.${at >> 8}.${at & 255}:5000`));
  assert.equal(suspects.has(endpoint('id-0', '10.1.0.0:5000')), false);
  assert.equal(suspects.has(endpoint('id-4999', '10.9.9.9:5000')), true);
});

test('checks apart from pulls clear a suspect, or accuse it once more', async (t) => {
  let now = 0;
  const suspects = new Suspects({ log: silentLogger, now: () => now }, {});
  const asker = {
    connections: new PeerConnections(new BufferPool(RELAY_BUFFERS)),
    networkKeys: undefined,
  };
  const checks = new SuspectChecks({ suspects, asker, log: silentLogger });
  t.after(() => checks.stop());
  const { bytes, digest } = blob(3 * 1024 * 1024);
  const cases = [
    { host: '127.0.0.2', sends: bytes, isCleared: true },
    { host: '127.0.0.3', sends: blob(bytes.byteLength).bytes, isCleared: false },
  ];
  const peers = await Promise.all(
    cases.map(({ host, sends }) => startPeer((stop) => t.after(stop), serve(sends), host)),
  );
  for (const peer of peers) {
    suspects.accuse(peer);
    checks.offer({ endpoint: peer, digest, path: blobPath(digest) });
  }
  now = HOUR_MS;
  for (const peer of peers) checks.offer({ endpoint: peer, digest, path: blobPath(digest) });
  const isChecked = () => peers.every(({ requests }) => requests.length === 1);
  await waitUntil('both were asked', isChecked, { timeoutMs: 20_000 });
  const [good, bad] = peers;
  assert.ok(good && bad);
  await waitUntil('one is cleared', () => !suspects.has(good));
  await waitUntil('one is accused', () => !suspects.mayCheck(bad));
  assert.equal(suspects.has(bad), true);
});
