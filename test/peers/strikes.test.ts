import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StrikeRule } from '../../lib/peers/strikes.ts';
import { Strikes } from '../../lib/peers/strikes.ts';

const RULE: StrikeRule = {
  state: 'barred',
  strikes: 2,
  firstMs: 100,
  maxMs: 300,
  memoryMs: 1_000,
  max: 3,
};
const PEER = { peerId: 'a', address: '10.0.0.1:5000' };

/** How long a failure at each of these times is held against the peer, counted from then. */
function heldMs(rule: Partial<StrikeRule>, at: readonly number[]): number[] {
  const strikes = new Strikes({ ...RULE, ...rule });
  return at.map((now) => {
    strikes.add('a', PEER, 'silent', now);
    let until = now;
    while (strikes.has('a', until)) until += 1;
    return until - now;
  });
}

test('so many failures in a row are held against a peer, longer each time', () => {
  assert.deepEqual(
    heldMs({}, [0, 1, 200, 201, 500, 501, 900, 901]),
    [0, 100, 0, 200, 0, 300, 0, 300],
  );
  assert.deepEqual(heldMs({ strikes: 1 }, [0, 200, 500, 900]), [100, 200, 300, 300]);
});

test('failures far apart are not in a row', () => {
  assert.deepEqual(heldMs({}, [0, 1_000, 1_999]), [0, 0, 100]);
  assert.deepEqual(heldMs({ strikes: 1 }, [0, 1_099, 2_299 + 1_000]), [100, 200, 100]);
});

test('a failure while it is held adds nothing where times double, and begins the time anew elsewhere', () => {
  assert.deepEqual(heldMs({ strikes: 1 }, [0, 50]), [100, 50]);
  assert.deepEqual(heldMs({ strikes: 1, maxMs: 100 }, [0, 50]), [100, 100]);
});

test('a success ends the row, and what is held stays until it is forgotten', () => {
  const strikes = new Strikes({ ...RULE, strikes: 1 });
  strikes.add('a', PEER, 'silent', 0);
  strikes.endRow('a');
  assert.equal(strikes.has('a', 99), true);
  strikes.add('a', PEER, 'silent', 100);
  assert.equal(strikes.has('a', 200), false, 'the first time again');
  strikes.add('a', PEER, 'silent', 200);
  strikes.forget('a');
  assert.equal(strikes.has('a', 201), false);
});

test('the peer that failed longest ago makes room', () => {
  const strikes = new Strikes({ ...RULE, strikes: 1 });
  for (const peerId of ['a', 'b', 'c', 'd']) strikes.add(peerId, { peerId }, 'silent', 0);
  assert.deepEqual(
    strikes.held(1).map(({ key }) => key),
    ['b', 'c', 'd'],
  );
});

test('it says since when and until when, by the wall clock', () => {
  const strikes = new Strikes({ ...RULE, strikes: 1, maxMs: 100 });
  const now = performance.now();
  const wall = Date.now();
  strikes.add('key', PEER, 'silent', now - 60);
  strikes.add('key', PEER, 'denied', now - 10);
  const [held] = strikes.held(now);
  assert.ok(held);
  const { since = 0, until, ...rest } = held.record;
  assert.deepEqual(
    { key: held.key, ...rest },
    { key: 'key', ...PEER, state: 'barred', why: 'denied' },
  );
  assert.ok(Math.abs(since - (wall - 60)) < 50 && Math.abs(until - (wall + 90)) < 50);
  assert.deepEqual(strikes.held(now + 91), []);
});
