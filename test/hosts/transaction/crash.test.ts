import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { cleanUp, SCENARIOS, type Scenario } from '../scenarios.ts';
import { assertSameTree, inScratch, isHidden, readTree, type Tree } from '../tree.ts';
import { after, begin, type Expected, other, settled, tried, undisturbed } from '../undisturbed.ts';
import { Killed, mortalDisk } from './mortal-disk.ts';

let total = 0;
for (const scenario of SCENARIOS) {
  test(`killed at every call: ${scenario.name}`, async (t) => {
    await inScratch(async (base) => {
      const expected = await undisturbed(scenario, base);
      const seen = new Set<string>();
      let kills = 0;
      for (const [at, name] of tried(expected.calls)) {
        for (const isHalf of name === 'writeSync' ? [false, true] : [false]) {
          await killed(scenario, expected, { base, at, isHalf, seen });
          kills += 1;
        }
      }
      total += kills;
      t.diagnostic(`${kills} kill points, ${total} so far`);
    });
  });
}

interface Kill {
  readonly base: string;
  readonly at: number;
  /** Within a write. */
  readonly isHalf: boolean;
  /** What disks were found after former kills: what comes of one depends on nothing else. */
  readonly seen: Set<string>;
}

async function killed(scenario: Scenario, expected: Expected, { base, at, isHalf, seen }: Kill) {
  const { path, command } = scenario;
  const root = join(base, path);
  const when = `killed ${isHalf ? 'within' : 'before'} call ${at}, ${expected.calls[at]}`;
  begin(base, expected.start);
  await assert.rejects(command(root, mortalDisk(at, isHalf)), Killed, when);
  const start = readTree(base);
  checkEntries(start, expected, when);
  const state = JSON.stringify(start);
  if (seen.has(state)) return;
  seen.add(state);

  const outcome = await command(root);
  assertSameTree(settled(readTree(base)), settled(expected.finished), `${when}, then run again`);
  // What was done before the end is no change any more; what is left alone is still named.
  if (!scenario.isNamedOnce) assert.deepEqual(outcome.problems, expected.outcome.problems, when);

  const cleaned = await after(cleanUp, { base, path, start });
  assertSameTree(cleaned, expected.cleaned, `${when}, then cleaned up`);
  if (!scenario.isNamedOnce) {
    const changed = await after(other, { base, path, start });
    assertSameTree(settled(changed), settled(expected.other), `${when}, then other settings`);
  }

  // Killed again while it mends that, at another place each time.
  for (const again of [(at * 7 + 31) % expected.calls.length]) {
    begin(base, start);
    await command(root, mortalDisk(again, false)).catch((error) => {
      assert.ok(error instanceof Killed, String(error));
    });
    checkEntries(readTree(base), expected, `${when}, and again`);
    await cleanUp(root);
    assertSameTree(readTree(base), expected.cleaned, `${when}, and ${again}, then cleaned up`);
  }
}

/** At any moment each entry is the old one or the new one, with all its bytes and rights. */
function checkEntries(now: Tree, { start, finished }: Expected, when: string): void {
  for (const path of new Set([...Object.keys(now), ...Object.keys(start)])) {
    if (isHidden(path)) continue;
    const isSame = [start[path], finished[path]].some((entry) => {
      return JSON.stringify(entry) === JSON.stringify(now[path]);
    });
    assert.ok(isSame, `${when}: ${path} is ${JSON.stringify(now[path])}`);
    // containerd takes the first directory that exists: one that waits for its file would hide
    // `_default`.
    const file = `${path}/hosts.toml`;
    const isComing = !(path in start) && file in finished;
    const isGoing = !(path in finished) && file in start;
    if (path in now && (isComing || isGoing)) assert.ok(file in now, `${when}: ${path} is empty`);
  }
}
