import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_TARGETS, RESOLVER_SILENCE_MS } from '../../lib/cleanup-wait/constants.ts';
import { CLEANED_UP } from '../../lib/cleanup-wait/probe.ts';
import {
  type ProbeRound,
  type ProbeRoundsSettings,
  probeRounds,
} from '../../lib/cleanup-wait/probe-rounds.ts';
import { endpoint, sayOk, serve } from '../support/probe-hosts.ts';
import { allRounds, reasons, settingsFor } from './rounds.ts';

const never = new AbortController().signal;

/** The first round only. */
async function firstRound(settings: ProbeRoundsSettings): Promise<ProbeRound> {
  for await (const round of probeRounds(settings, never)) return round;
  throw new Error('no round');
}

test('an address that two names share is asked once, and a name counts by its addresses', async (t) => {
  let requests = 0;
  const { port } = endpoint(
    await serve(
      t,
      (_request, response) => {
        requests += 1;
        response.end(CLEANED_UP);
      },
      '0.0.0.0',
    ),
  );
  const names: Record<string, readonly string[]> = {
    a: ['127.0.0.1', '127.0.0.2'],
    b: ['::ffff:127.0.0.2', '127.0.0.3'],
  };
  const resolve = async (name: string) => names[name] ?? [];
  const addresses = [`a:${port}`, `b:${port}`, `127.0.0.3:${port}`];
  const [round] = await allRounds(settingsFor(addresses, { threshold: 1, resolve }));
  assert.deepEqual([round?.answered, round?.total, requests], [3, 3, 3]);
});

test('a name is resolved anew in each round', async (t) => {
  const { port } = endpoint(await serve(t, sayOk));
  let lookups = 0;
  const resolve = async () => {
    lookups += 1;
    return lookups === 1 ? ['127.0.0.1', '127.0.0.99'] : ['127.0.0.1'];
  };
  const rounds = await allRounds(settingsFor([`fleet:${port}`], { threshold: 2, resolve }));
  assert.deepEqual(
    rounds.map(({ answered, total }) => [answered, total]),
    [
      [1, 2],
      [1, 1],
      [1, 1],
    ],
  );
});

test('names that lead nowhere make the round fail, also when all others answer', async (t) => {
  const address = await serve(t, sayOk);
  const tooMany = Array.from({ length: MAX_TARGETS + 1 }, (_, index) => {
    return `127.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
  });
  const names: Record<string, readonly string[]> = { none: [], sunk: ['0.0.0.0'], many: tooMany };
  const resolve = async (name: string) => names[name] ?? [];
  const round = await firstRound(
    settingsFor([address, 'sunk:1', 'none:1', 'many:1'], { threshold: 1, resolve }),
  );
  assert.deepEqual([round.answered, round.total, round.consecutive], [1, 4, 0]);
  assert.deepEqual(reasons(round), [
    'many: more than 4096 addresses',
    'none: resolves to no address',
    'sunk: resolves to 0.0.0.0, which is no host',
  ]);
});

test('a name that does not resolve is missing, with the reason', async () => {
  const round = await firstRound(settingsFor(['nosuch.invalid:1']));
  assert.equal(round.total, 1);
  // The second where there is no resolver at all.
  const [reason = ''] = reasons(round);
  assert.match(
    reason,
    /^nosuch\.invalid: (?:name does not resolve|the resolver cannot be reached)/,
  );
});

test('a resolver that hangs costs 5 s, and is not asked again before it has answered', async (t) => {
  const address = await serve(t, sayOk);
  let lookups = 0;
  const answer = Promise.withResolvers<readonly string[]>();
  const resolve = () => {
    lookups += 1;
    return answer.promise;
  };
  const { port } = endpoint(address);
  const settings = settingsFor([address, `hung:${port}`], { threshold: 1, resolve });
  const startedAt = performance.now();
  const rounds: ProbeRound[] = [];
  for await (const round of probeRounds(settings, never)) {
    rounds.push(round);
    // In the middle of the second round.
    if (round.round === 1) setTimeout(() => answer.resolve(['127.0.0.1']), 200);
  }
  const took = performance.now() - startedAt;
  assert.ok(took > RESOLVER_SILENCE_MS - 50 && took < 2 * RESOLVER_SILENCE_MS, `${took} ms`);
  assert.deepEqual(reasons(rounds[0] as ProbeRound), [
    'hung: no answer from the resolver within 5 s',
  ]);
  assert.deepEqual([rounds.length, rounds[0]?.answered, rounds[1]?.answered], [2, 1, 1]);
  assert.equal(lookups, 1);
});
