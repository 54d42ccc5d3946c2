import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimeBudget } from '../../lib/base/time-budget.ts';
import { CHECK_BUDGET } from '../../lib/settings-watch/constants.ts';

/** How often a look of this cost is made in so long, by somebody who is woken every 100 ms. */
function looksIn(endMs: number, costMs: number): number {
  const budget = new TimeBudget(CHECK_BUDGET);
  let looks = 0;
  for (let now = 0; now < endMs; now += 100) {
    if (budget.waitMs(now) > 0) continue;
    budget.spend(costMs, now);
    looks += 1;
  }
  return looks;
}

test('over an hour looks cost four per cent of a core, whatever one costs', () => {
  for (const costMs of [10, 250, 1_500]) {
    const share = (looksIn(3_600_000, costMs) * costMs) / 3_600_000;
    assert.ok(share > 0.039 && share < 0.041, `${costMs} ms: ${share}`);
  }
});

test('after a quiet time there is no pause, also where a look is dear', () => {
  const budget = new TimeBudget(CHECK_BUDGET);
  for (const now of [0, 100_000, 200_000]) {
    assert.equal(budget.waitMs(now), 0);
    budget.spend(1_500, now);
    assert.equal(Math.round(budget.waitMs(now)), 12_500);
  }
});
