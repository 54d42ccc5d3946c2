/** The watch over a real directory; who is asked writes at once, as systemd's unit does. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../../lab/processes/exec.ts';
import { createLogger } from '../../lib/base/log.ts';
import { configureMirrors } from '../../lib/hosts/mirrors.ts';
import { SettingsWatch } from '../../lib/settings-watch/settings-watch.ts';
import { ALL, CertsDirectory, MIRROR } from '../hosts/support.ts';

const OWN = '[host."https://harbor.corp"]\n';
const FILE = 'quay.io/hosts.toml';

/** A configured certs.d below a directory of the test's, under watch. */
async function watched(
  t: TestContext,
  { isMissing = false, isByHand = false, lookCpuMs = 1 } = {},
) {
  const parent = CertsDirectory.make(t);
  const certs = new CertsDirectory(join(parent.path, 'certs.d'), isMissing ? {} : { [FILE]: OWN });
  if (!isMissing) await certs.configure();
  const states: Record<string, number> = {};
  const counts = { looks: 0, asked: 0 };
  const look = async (signal: AbortSignal) => {
    counts.looks += 1;
    const options = { isGlance: true, signal };
    const { changes, inForce, problems } = await configureMirrors([certs.path], ALL, options);
    const absent = changes.map(({ path }) => path);
    const present = inForce.filter((path) => !absent.includes(path)).length;
    return { present, absent, leftAlone: problems, cpuMs: lookCpuMs };
  };
  const lines: string[] = [];
  const repairs = {
    request: () => {
      counts.asked += 1;
      void certs.configure();
    },
    withdraw: () => {},
  };
  const run = isByHand ? undefined : 'run';
  const watch = new SettingsWatch({
    log: createLogger('WARN', (line) => void lines.push(JSON.parse(line).msg)),
    gauge: { set: ({ state = '' }, count) => Object.assign(states, { [state]: count }) },
    settingsToCheck: () => ({ roots: [certs.path], files: [], run, leftByRun: [], check: look }),
    repairs: isByHand ? undefined : repairs,
  });
  await watch.start();
  t.after(() => watch.stop());
  await waitUntil('it has looked', () => states.present !== undefined);
  return { parent, certs, states, counts, lines };
}

const untilBack = (certs: CertsDirectory, name = FILE) =>
  waitUntil(`${name} has the block`, () => isThere(certs, name), { timeoutMs: 10_000 });

function isThere(certs: CertsDirectory, name: string): boolean {
  try {
    return certs.read(name).includes(MIRROR);
  } catch {
    return false;
  }
}

test('a file without the block is noticed, and what is beside it stays', async (t) => {
  const { certs, counts } = await watched(t);
  certs.write(FILE, `${OWN}# new\n`);
  await untilBack(certs);
  assert.ok(certs.read(FILE).endsWith(`${OWN}# new\n`));
  assert.equal(counts.asked, 1);
});

test('a directory that hides _default is noticed', async (t) => {
  const { certs } = await watched(t);
  mkdirSync(join(certs.path, 'new.example'));
  await untilBack(certs, 'new.example/hosts.toml');
});

test('certs.d that is removed, and the directory around it, is noticed', async (t) => {
  const { certs } = await watched(t);
  rmSync(certs.path, { recursive: true });
  await untilBack(certs, '_default/hosts.toml');
});

test('certs.d that is not there is waited for above it', async (t) => {
  const { certs, counts } = await watched(t, { isMissing: true });
  await untilBack(certs, '_default/hosts.toml');
  assert.equal(counts.asked, 1);
});

test('another directory that takes its name is noticed, and watched from then on', async (t) => {
  const { certs, parent } = await watched(t);
  const next = join(parent.path, 'next');
  cpSync(certs.path, next, { recursive: true });
  writeFileSync(join(next, FILE), OWN);
  renameSync(certs.path, join(parent.path, 'former'));
  renameSync(next, certs.path);
  await untilBack(certs);
});

test('nothing has changed, or a note beside the block: nobody is asked', async (t) => {
  const { certs, counts, states } = await watched(t);
  const looks = counts.looks;
  writeFileSync(join(certs.path, '..', 'other.toml'), 'x');
  await sleep(2_500);
  // What is beside certs.d wakes it up, and is not what it looks at.
  assert.equal(counts.looks, looks);
  certs.write(FILE, `${certs.read(FILE)}# a note\n`);
  await waitUntil('it has looked', () => counts.looks > looks);
  await sleep(1_500);
  assert.deepEqual([counts.asked, states.present, states.absent], [0, 2, 0]);
});

test('somebody who has not come to the end of writing is waited for', async (t) => {
  const { certs, counts } = await watched(t);
  for (let n = 0; n < 6; n += 1) {
    certs.write(FILE, OWN);
    await sleep(400);
  }
  assert.equal(counts.asked, 0);
  await untilBack(certs);
  assert.equal(counts.asked, 1);
});

test('somebody who writes beside the files all the time: a look that is dear is not made often', async (t) => {
  const { certs, counts, states } = await watched(t, { lookCpuMs: 1_500 });
  const looks = counts.looks;
  for (let n = 0; n < 160; n += 1) {
    const path = join(certs.path, 'quay.io', `lock-${n}`);
    writeFileSync(path, '');
    await sleep(50);
    rmSync(path);
  }
  // The first one has spent what 4 % of a core give in half a minute.
  assert.equal(counts.looks, looks);
  assert.deepEqual([counts.asked, states.present, states.absent], [0, 2, 0]);
});

test('after it has looked once, a change is seen as soon as ever', async (t) => {
  const { certs } = await watched(t, { lookCpuMs: 900 });
  certs.write(FILE, OWN);
  const began = performance.now();
  await untilBack(certs);
  assert.ok(performance.now() - began < 5_000);
});

test('without systemd it says once what to run, and the gauge counts', async (t) => {
  const { certs, states, lines } = await watched(t, { isByHand: true });
  assert.equal(states.present, 2);
  for (const text of [OWN, `${OWN}# again\n`]) {
    certs.write(FILE, text);
    await waitUntil('it is counted', () => states.absent === 1);
    await sleep(2_000);
  }
  assert.deepEqual(lines, ["the mirror settings are not as wanted; run 'spegel configuration'"]);
});

test('without systemd, and never configured: it does not even look', async (t) => {
  const { certs, counts, states } = await watched(t, { isByHand: true, isMissing: true });
  certs.write(FILE, OWN);
  await sleep(2_500);
  assert.deepEqual([counts.looks, states.present, states.absent], [0, 0, 0]);
});
