import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../lib/base/log.ts';
import { MAX_PEER_RECORDS } from '../../lib/peers/constants.ts';
import { PeerHealth } from '../../lib/peers/peer-health.ts';
import { type PeerRecord, peerRecords } from '../../lib/peers/peer-records.ts';
import { Suspects } from '../../lib/peers/suspects.ts';

const HOUR_MS = 60 * 60_000;

const told = (records: readonly PeerRecord[]) =>
  records.map(({ peerId, address, state, ...record }) =>
    [peerId, address, state, 'why' in record ? record.why : ''].join('|'),
  );

test('each address of a known peer has a record of all that is held against it', () => {
  const peerHealth = new PeerHealth();
  const suspects = new Suspects({ log: silentLogger }, {});
  const [a, b] = [
    { peerId: 'a', address: '10.0.0.1:5000' },
    { peerId: 'b', address: '10.0.0.2:5000' },
  ];
  peerHealth.failed(a, 'unreachable');
  peerHealth.inflightWasWrong(a);
  peerHealth.failed(b, 'stranger');
  suspects.accuse({ peerId: 'c', address: '10.0.0.3:6000' });
  suspects.accuseInflight({ peerId: 'd', address: '[2001:db8:1:2::5]:5000' });
  const known = [
    { peerId: 'a', registry: ['10.0.0.1:5000', '10.1.0.1:5000'] },
    { peerId: 'other', registry: ['10.0.0.2:5000'] },
    { peerId: 'e', registry: ['10.0.0.3:5000'] },
    { peerId: 'f', registry: ['[2001:db8:1:2::6]:5000'] },
  ];
  const held = [...peerHealth.held(), ...suspects.held()];
  assert.deepEqual(told(peerRecords(known, held)), [
    'a|10.0.0.1:5000|barred|unreachable',
    'a|10.0.0.1:5000|barred in flight|corrupt',
    'a|10.1.0.1:5000|good|',
    'other|10.0.0.2:5000|good|',
    'e|10.0.0.3:5000|suspect|wrong bytes, 1 in a row',
    'f|[2001:db8:1:2::6]:5000|suspect|wrong bytes, 1 in a row',
    'b|10.0.0.2:5000|barred|stranger',
    'c||suspect|wrong bytes, 1 in a row',
    'd||suspect|wrong bytes, 1 in a row',
  ]);
});

test('a bar says for how long; a suspect from when on it may be cleared, after a restart, too', async (t) => {
  const now = Date.now();
  const peerHealth = new PeerHealth();
  peerHealth.failed({ peerId: 'a', address: '10.0.0.1:5000' }, 'silent');
  const [bar] = peerHealth.held();
  assert.ok(bar?.record.since !== undefined);
  assert.equal(Math.round((bar.record.until - bar.record.since) / 1_000), 5);
  const dataDir = await mkdtemp(join(tmpdir(), 'spegel-peers-'));
  t.after(() => rm(dataDir, { recursive: true }));
  const suspects = () => new Suspects({ log: silentLogger, now: () => now }, { dataDir });
  const before = suspects();
  before.accuse({ peerId: 'b', address: '10.0.0.2:5000' });
  await before.flush();
  const after = suspects();
  await after.load();
  const { since, until } = after.held()[0]?.record ?? {};
  assert.deepEqual([since, until], [now, now + HOUR_MS]);
});

test('however many peers there are, so many records are told', () => {
  const registry = ['10.0.0.1:5000'];
  const known = Array.from({ length: 2 * MAX_PEER_RECORDS }, (_, at) => ({
    peerId: `p${at}`,
    registry,
  }));
  assert.equal(peerRecords(known, []).length, MAX_PEER_RECORDS);
});
