/**
 * A liar in a fleet that shares in flight: hosts pull one fresh image at once and share it while
 * they download, so what the liar sends one of them goes on to the others through honest hands.
 * Each host loses one pull at the most.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shapeLinks } from '../../lab/fleet/inflight-pulls.ts';
import { assertPromise, attackInflight, tell } from './attack.ts';
import { AttackLab, attackMissing } from './attack-lab.ts';
import type { Liar } from './evil-host.ts';

const VERSIONS = ['1.6', '2.1', '2.4', '2.1', '1.6'] as const;
const LINKS = { links: '100mbit', upstream: '60mbit' };

/** One of them is in each test run, the others are left to `make attacks`. */
const OFTEN = 'branch-cut';
const LIARS: Readonly<Record<string, Liar>> = {
  'branch-cut': { lie: 'cut-half', holds: false, oneBranch: true },
  'branch-whole': { lie: 'wrong-bytes', holds: false, oneBranch: true },
  'inflight-cut': { lie: 'cut-half', holds: true },
};

for (const [name, liar] of Object.entries(LIARS)) {
  const skip = await attackMissing(name !== OFTEN);
  test(name, { skip }, async (t) => {
    const fleet = await AttackLab.create([liar], t, { versions: VERSIONS });
    await shapeLinks(fleet.lab, LINKS);
    const outcome = await attackInflight(fleet, { name, liars: fleet.liars });
    tell(t, outcome);
    assert.ok(
      outcome.lies.some((lies) => lies > 0),
      'nobody was told a lie',
    );
    assertPromise(outcome, 1);
  });
}
