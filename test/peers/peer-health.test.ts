import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PeerHealth } from '../../lib/peers/peer-health.ts';

function clocked() {
  const clock = { now: 0 };
  return { clock, peerHealth: new PeerHealth({ now: () => clock.now }) };
}

const endpoint = { peerId: 'a', address: '10.0.0.1:5000' };
const otherEndpoint = { peerId: 'a', address: '10.0.0.2:5000' };
const otherPeer = { peerId: 'b', address: '10.0.0.1:5000' };

test('a dead address is barred whoever is said to be there, the peer at another one is not', () => {
  const { peerHealth } = clocked();
  peerHealth.failed(endpoint, 'unreachable');
  assert.equal(peerHealth.isBarred(endpoint), true);
  assert.equal(peerHealth.isBarred(otherEndpoint), false);
  assert.equal(peerHealth.isBarred(otherPeer), true);
});

test('an address where another host answers is barred for the expected one alone', () => {
  const { peerHealth } = clocked();
  peerHealth.failed(endpoint, 'stranger');
  assert.equal(peerHealth.isBarred(endpoint), true);
  assert.equal(peerHealth.isBarred(otherPeer), false);
});

test('an address that sent wrong bytes is barred for an hour', () => {
  const { clock, peerHealth } = clocked();
  peerHealth.failed(otherEndpoint, 'invalid');
  peerHealth.failed(endpoint, 'corrupt');
  clock.now = 59 * 60_000;
  assert.equal(peerHealth.isBarred(otherEndpoint), false);
  assert.equal(peerHealth.isBarred(endpoint), true);
  clock.now = 61 * 60_000;
  assert.equal(peerHealth.isBarred(endpoint), false);
});

test('saying no is no failure', () => {
  const { peerHealth } = clocked();
  peerHealth.failed(endpoint, 'refused');
  assert.equal(peerHealth.isBarred(endpoint), false);
});

test('bars grow with failures in a row, up to five minutes, and a success ends the row', () => {
  const { clock, peerHealth } = clocked();
  const barMs = () => {
    peerHealth.failed(endpoint, 'silent');
    const from = clock.now;
    while (peerHealth.isBarred(endpoint)) clock.now += 1_000;
    return clock.now - from;
  };
  const bars = Array.from({ length: 9 }, barMs);
  assert.deepEqual(bars.slice(0, 3), [5_000, 10_000, 20_000]);
  assert.equal(bars.at(-1), 300_000);
  peerHealth.succeeded(endpoint);
  assert.equal(barMs(), 5_000);
});

test('failures at the same time are one', () => {
  const { clock, peerHealth } = clocked();
  for (let count = 0; count < 5; count += 1) peerHealth.failed(endpoint, 'reset');
  clock.now = 5_001;
  assert.equal(peerHealth.isBarred(endpoint), false);
});

test('an endpoint that was too slow twice in flight is not asked for in-flight content for a minute', () => {
  const { clock, peerHealth } = clocked();
  peerHealth.inflightWasSlow(endpoint);
  assert.equal(peerHealth.isBarredInflight(endpoint), false, 'once is a hiccup');
  clock.now += 5_000;
  peerHealth.inflightWasSlow(endpoint);
  assert.equal(peerHealth.isBarredInflight(endpoint), true);
  assert.equal(peerHealth.isBarred(endpoint), false, 'what it has whole is good');
  clock.now += 61_000;
  assert.equal(peerHealth.isBarredInflight(endpoint), false);
});

test('a stalled peer is not barred; one that passed on wrong bytes is asked for whole content only', () => {
  const peerHealth = new PeerHealth();
  peerHealth.failed(endpoint, 'stalled');
  assert.equal(peerHealth.isBarred(endpoint), false);
  assert.equal(peerHealth.isBarredInflight(endpoint), false);
  peerHealth.inflightWasWrong(endpoint);
  assert.deepEqual(
    [peerHealth.isBarred(endpoint), peerHealth.isBarredInflight(endpoint)],
    [false, true],
  );
});
