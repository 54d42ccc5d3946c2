import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../lib/base/log.ts';
import { DriftHandler } from '../../lib/settings-watch/drift-handler.ts';
import type { SettingsCheck } from '../../lib/settings-watch/settings-check.ts';

const RIGHT: SettingsCheck = { present: 2, absent: [], leftAlone: [], cpuMs: 1 };
const WRONG: SettingsCheck = {
  present: 1,
  absent: ['/certs.d/a/hosts.toml'],
  leftAlone: [],
  cpuMs: 1,
};

/** A judge, and what came of it: lines without their time, askings, and the gauge. */
function judge({ hasSystemd = true } = {}) {
  const lines: string[] = [];
  const gauge: Record<string, number> = {};
  let asked = 0;
  const repairs = {
    request: () => {
      asked += 1;
    },
    withdraw: () => {},
  };
  const log = createLogger('INFO', (line) => {
    const { level, msg } = JSON.parse(line);
    lines.push(`${level} ${msg}`);
  });
  const one = new DriftHandler({
    log,
    gauge: { set: ({ state = '' }, count) => Object.assign(gauge, { [state]: count }) },
    repairs: hasSystemd ? repairs : undefined,
  });
  return { one, lines, gauge, asked: () => asked };
}

test('wrong, put back: asked once, one line for each, and the gauge', () => {
  const { one, lines, gauge, asked } = judge();
  one.onCheck(RIGHT, 'run', 0);
  one.onCheck(WRONG, 'run', 100_000);
  assert.deepEqual(gauge, { present: 1, absent: 1, left_alone: 0, failed: 0 });
  one.onCheck(WRONG, 'run', 101_000);
  one.onCheck(RIGHT, 'run', 102_000);
  assert.deepEqual(gauge, { present: 2, absent: 0, left_alone: 0, failed: 0 });
  assert.equal(asked(), 1);
  assert.deepEqual(lines, [
    'WARN the mirror settings are not as wanted; systemd is to put them back',
    'INFO the mirror settings are as wanted again',
  ]);
});

test('two programs that fight: a hundred rounds make four lines and few askings', () => {
  const { one, lines, asked } = judge();
  for (let round = 0; round < 100; round += 1) {
    const now = round * 10_000;
    // It is put back only where it was asked for.
    const before = asked();
    one.onCheck(WRONG, 'run', now);
    one.onCheck(asked() > before ? RIGHT : WRONG, 'run', now + 3_000);
  }
  assert.equal(lines.length, 4, lines.join('\n'));
  assert.match(lines[2] ?? '', /^WARN .* changed again: another program writes there/);
  assert.ok(asked() <= 9, `${asked()} times`);
});

test('changed again before it is seen that they were put back: a fight, no failure', () => {
  const { one, lines, gauge, asked } = judge();
  for (let now = 0; now < 600_000; now += 4_000) one.onCheck(WRONG, `after ${asked()}`, now);
  assert.deepEqual(
    lines.map((line) => line.slice(0, 49)),
    [
      'WARN the mirror settings are not as wanted; syste',
      'WARN the mirror settings were changed again: anot',
    ],
  );
  assert.equal(gauge.failed, 0);
  assert.ok(asked() < 9, `${asked()} times`);
});

test('not put back: said once, failed is 1 until it is, and then it is said', () => {
  const { one, lines, gauge } = judge();
  for (let now = 0; now < 100_000; now += 1_000) one.onCheck(WRONG, 'run', now);
  assert.equal(gauge.failed, 1);
  one.onCheck(RIGHT, 'run', 100_000);
  assert.equal(gauge.failed, 0);
  assert.deepEqual(lines, [
    'WARN the mirror settings are not as wanted; systemd is to put them back',
    'WARN the mirror settings could not be put back',
    'INFO the mirror settings are as wanted again',
  ]);
});

test('the unit is not active: it has half a minute to start, then one line, no warning', () => {
  const { one, lines, asked } = judge();
  for (let now = 0; now < 29_000; now += 1_000) one.onCheck(WRONG, undefined, now);
  assert.deepEqual([asked(), lines], [0, []]);
  for (let now = 29_000; now < 3_600_000; now += 1_000) one.onCheck(WRONG, undefined, now);
  assert.deepEqual(lines, [
    'INFO containerd is not told to ask this host: spegel-configuration is not active',
  ]);
  // It may have failed, and then it is tried again; at the most every five minutes.
  assert.ok(asked() > 1 && asked() < 20, `${asked()} times`);
});

test('the unit runs, and leaves the file alone: not put back, and no fight', () => {
  for (const left of ['/certs.d/a/hosts.toml', '/certs.d']) {
    const { one, lines, gauge, asked } = judge();
    one.onCheck(RIGHT, 'run', 0);
    for (let now = 100_000; now < 200_000; now += 1_000) {
      one.onCheck(WRONG, `after ${asked()}`, now, asked() > 0 ? [left] : []);
    }
    assert.deepEqual(lines, [
      'WARN the mirror settings are not as wanted; systemd is to put them back',
      'WARN the mirror settings could not be put back',
    ]);
    assert.equal(gauge.failed, 1);
    assert.ok(asked() > 1 && asked() < 9);
  }
});

test('stopped after they were put back once: no other program is blamed', () => {
  const { one, lines } = judge();
  one.onCheck(RIGHT, 'run', 0);
  one.onCheck(WRONG, 'run', 100_000);
  one.onCheck(RIGHT, 'after 1', 102_000);
  for (let now = 120_000; now < 600_000; now += 1_000) one.onCheck(WRONG, undefined, now);
  assert.deepEqual(lines, [
    'WARN the mirror settings are not as wanted; systemd is to put them back',
    'INFO the mirror settings are as wanted again',
    'INFO containerd is not told to ask this host: spegel-configuration is not active',
  ]);
});

test('without systemd it says once what to run', () => {
  const { one, lines, gauge } = judge({ hasSystemd: false });
  one.onCheck(undefined, undefined, 0);
  one.onCheck(RIGHT, undefined, 1_000);
  for (let now = 2_000; now < 9_000_000; now += 30_000) one.onCheck(WRONG, undefined, now);
  assert.deepEqual(lines, [
    "WARN the mirror settings are not as wanted; run 'spegel configuration'",
  ]);
  assert.equal(gauge.absent, 1);
});

test('without systemd, and never configured: nothing is said', () => {
  const { one, lines } = judge({ hasSystemd: false });
  for (let now = 0; now < 300_000; now += 30_000) one.onCheck(WRONG, undefined, now);
  assert.deepEqual(lines, []);
});

test('a file that is left alone from some time on is named once', () => {
  const { one, lines, gauge } = judge();
  const leftAlone = [{ path: '/certs.d/b/hosts.toml', message: 'expected TOML' }];
  one.onCheck(RIGHT, 'run', 0);
  for (const now of [1_000, 2_000]) one.onCheck({ ...RIGHT, leftAlone }, 'run', now);
  assert.deepEqual(lines, ['WARN a hosts.toml is left alone now']);
  assert.equal(gauge.left_alone, 1);
});

test('what cannot be looked at is said once, and counts as failed', () => {
  const { one, lines, gauge } = judge();
  one.onCheck(RIGHT, 'run', 0);
  one.onFailedCheck(new Error('certs.d: permission denied'), 1_000);
  one.onFailedCheck(new Error('certs.d: permission denied'), 30_000);
  assert.deepEqual(gauge, { present: 2, absent: 0, left_alone: 0, failed: 1 });
  assert.equal(lines.length, 1);
  one.onCheck(RIGHT, 'run', 60_000);
  assert.deepEqual([lines.length, gauge.failed], [2, 0]);
});
