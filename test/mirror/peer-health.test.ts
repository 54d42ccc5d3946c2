import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExpiringMap } from '../../lib/base/expiring-map.ts';
import { KnownSizes } from '../../lib/mirror/known-sizes.ts';
import { Penalties } from '../../lib/mirror/peer-health.ts';
import { digestOf } from '../../lib/oci/digest.ts';

function clocked() {
  const clock = { now: 0 };
  return { clock, penalties: new Penalties({ now: () => clock.now }) };
}

const lane = { peerId: 'a', address: '10.0.0.1:5000' };
const otherLane = { peerId: 'a', address: '10.0.0.2:5000' };
const otherPeer = { peerId: 'b', address: '10.0.0.1:5000' };

test('a dead address is barred whoever is said to be there, the peer at another one is not', () => {
  const { penalties } = clocked();
  penalties.failed(lane, 'unreachable');
  assert.equal(penalties.isBarred(lane), true);
  assert.equal(penalties.isBarred(otherLane), false);
  assert.equal(penalties.isBarred(otherPeer), true);
});

test('an address where another host answers is barred for the expected one alone', () => {
  const { penalties } = clocked();
  penalties.failed(lane, 'stranger');
  assert.equal(penalties.isBarred(lane), true);
  assert.equal(penalties.isBarred(otherPeer), false);
});

test('an address that sent wrong bytes is barred for an hour', () => {
  const { clock, penalties } = clocked();
  penalties.failed(otherLane, 'invalid');
  penalties.failed(lane, 'corrupt');
  clock.now = 59 * 60_000;
  assert.equal(penalties.isBarred(otherLane), false);
  assert.equal(penalties.isBarred(lane), true);
  clock.now = 61 * 60_000;
  assert.equal(penalties.isBarred(lane), false);
});

test('saying no is no failure', () => {
  const { penalties } = clocked();
  penalties.failed(lane, 'refused');
  assert.equal(penalties.isBarred(lane), false);
});

test('bars grow with failures in a row, up to five minutes, and a success ends the row', () => {
  const { clock, penalties } = clocked();
  const barMs = () => {
    penalties.failed(lane, 'silent');
    const from = clock.now;
    while (penalties.isBarred(lane)) clock.now += 1_000;
    return clock.now - from;
  };
  const bars = Array.from({ length: 9 }, barMs);
  assert.deepEqual(bars.slice(0, 3), [5_000, 10_000, 20_000]);
  assert.equal(bars.at(-1), 300_000);
  penalties.succeeded(lane);
  assert.equal(barMs(), 5_000);
});

test('failures at the same time are one', () => {
  const { clock, penalties } = clocked();
  for (let count = 0; count < 5; count += 1) penalties.failed(lane, 'reset');
  clock.now = 5_001;
  assert.equal(penalties.isBarred(lane), false);
});

test('who was too slow twice with what it is still getting is not asked for such for a minute', () => {
  const { clock, penalties } = clocked();
  penalties.dawdled(lane);
  assert.equal(penalties.hasMisled(lane), false, 'once is a hiccup');
  clock.now += 5_000;
  penalties.dawdled(lane);
  assert.equal(penalties.hasMisled(lane), true);
  assert.equal(penalties.isBarred(lane), false, 'what it has whole is good');
  clock.now += 61_000;
  assert.equal(penalties.hasMisled(lane), false);
});

test('the tables are bounded', () => {
  const map = new ExpiringMap<number>(3);
  for (let at = 0; at < 10; at += 1) map.set(`${at}`, at, 1_000);
  assert.deepEqual([map.get('6'), map.get('7'), map.get('8'), map.get('9')], [undefined, 7, 8, 9]);
  const sizes = new KnownSizes();
  const digests = Array.from({ length: 5_000 }, (_, at) => digestOf(Buffer.from(`${at}`)));
  for (const digest of digests) {
    sizes.learn({ mediaType: '', children: [{ digest, size: 1, mediaType: undefined }] });
  }
  assert.equal(digests.filter((digest) => sizes.get(digest) !== undefined).length, 4_096);
});

test('manifests that contradict each other about a size are not believed', () => {
  const digest = digestOf(Buffer.from('x'));
  const sizes = new KnownSizes();
  const manifest = (size: number) => ({
    mediaType: '',
    children: [{ digest, size, mediaType: undefined }],
  });
  sizes.learn(manifest(1));
  sizes.learn(manifest(1));
  assert.equal(sizes.get(digest), 1);
  sizes.learn(manifest(2));
  assert.equal(sizes.get(digest), undefined);
});
