import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { CLEANED_UP } from '../../lib/cleanup-wait/probe.ts';
import type { ProbeRoundsSettings } from '../../lib/cleanup-wait/probe-rounds.ts';
import { endpoint, okFrom, sayOk, serve, staySilent } from '../support/probe-hosts.ts';
import { allRounds, reasons, settingsFor } from './rounds.ts';

test('as many rounds as the threshold, when all answer in all of them', async (t) => {
  const hosts = ['127.0.0.1', '127.0.0.2', '::1'];
  const addresses = await Promise.all(hosts.map((host) => serve(t, sayOk, host)));
  const rounds = await allRounds(settingsFor(addresses));
  assert.deepEqual(
    rounds.map(({ round, answered, total, consecutive }) => [round, answered, total, consecutive]),
    [
      [1, 3, 3, 1],
      [2, 3, 3, 2],
      [3, 3, 3, 3],
    ],
  );
});

test('a host that is late is waited for', async (t) => {
  const late = await serve(t, okFrom(4), '127.0.0.2');
  const rounds = await allRounds(settingsFor([await serve(t, sayOk), late]));
  assert.deepEqual(
    rounds.map(({ consecutive }) => consecutive),
    [0, 0, 0, 1, 2, 3],
  );
  assert.deepEqual(rounds[0]?.missing, [{ ...endpoint(late), reason: 'answered 503' }]);
});

test('rounds count in a row: one that fails in between begins anew', async (t) => {
  let requests = 0;
  const address = await serve(t, (_request, response) => {
    requests += 1;
    if (requests === 3) response.writeHead(503).end();
    else response.end(CLEANED_UP);
  });
  const rounds = await allRounds(settingsFor([address]));
  assert.deepEqual(
    rounds.map(({ consecutive }) => consecutive),
    [1, 2, 0, 1, 2, 3],
  );
});

test('never more than ten at once, and never fewer than could be', async (t) => {
  let running = 0;
  let most = 0;
  const address = await serve(
    t,
    (_request, response) => {
      running += 1;
      most = Math.max(most, running);
      setTimeout(() => {
        running -= 1;
        response.end(CLEANED_UP);
      }, 50);
    },
    '0.0.0.0',
  );
  const { port } = endpoint(address);
  const addresses = Array.from({ length: 35 }, (_, index) => `127.0.1.${index + 1}:${port}`);
  const [round] = await allRounds(settingsFor(addresses, { threshold: 1 }));
  assert.equal(round?.answered, 35);
  assert.equal(most, 10);
});

test('a round begins each period, and one that takes longer delays the next', async (t) => {
  const times: number[] = [];
  const answersAfter = [0, 150, 400, 0, 0];
  const address = await serve(t, (_request, response) => {
    setTimeout(() => response.end(CLEANED_UP), answersAfter[times.length] ?? 0);
    times.push(performance.now());
  });
  await allRounds(settingsFor([address], { threshold: 5, periodMs: 300 }));
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  // A timer may be late, never early; what a round takes does not add to the period.
  const [first = 0, second = 0, third = 0] = gaps;
  assert.ok(first > 250 && second > 250 && third > 380, gaps.join(' '));
  assert.ok(Math.min(first, second) < 450, gaps.join(' '));
});

test('an abort ends a lookup, a round and the wait for the next one', async (t) => {
  const silent = await serve(t, staySilent);
  const fine = await serve(t, sayOk);
  const cases: Record<string, [ProbeRoundsSettings, string[]]> = {
    lookup: [
      settingsFor(['hung:1', fine], { resolve: () => new Promise(() => {}) }),
      ['127.0.0.1: not asked yet', 'hung: no answer from the resolver yet'],
    ],
    round: [settingsFor([silent, fine]), ['127.0.0.1: no answer yet']],
    wait: [settingsFor([fine], { periodMs: 60_000 }), []],
  };
  for (const [name, [settings, missing]] of Object.entries(cases)) {
    const controller = new AbortController();
    const startedAt = performance.now();
    const running = allRounds(settings, controller.signal);
    await delay(150);
    controller.abort();
    const rounds = await running;
    assert.ok(performance.now() - startedAt < 900, name);
    assert.deepEqual(rounds.map(reasons), [missing], name);
  }
});

test('a round that is cut short counts only when nothing else is known', async (t) => {
  const controller = new AbortController();
  let requests = 0;
  const address = await serve(t, (_request, response) => {
    requests += 1;
    if (requests === 1) response.writeHead(503).end();
    else controller.abort();
  });
  const rounds = await allRounds(settingsFor([address]), controller.signal);
  assert.deepEqual(rounds.map(reasons), [['127.0.0.1: answered 503']]);
});
