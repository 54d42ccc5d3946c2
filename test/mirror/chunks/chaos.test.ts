/**
 * Bodies from two to six sources that fail in any order, each round from its own seed. One that
 * works is always there. CHAOS_ROUNDS gives more rounds, CHAOS_SEED another first seed.
 */
import { test } from 'node:test';
import { Random } from '../../oci/random.ts';
import { assertSame } from '../support.ts';
import { FAULTS, MIB, pull, RATE, startPeers } from './peers.ts';

const { CHAOS_ROUNDS, CHAOS_SEED } = process.env;
const ROUNDS = Number(CHAOS_ROUNDS ?? 16);
const FIRST_SEED = Number(CHAOS_SEED ?? 1);

test('whatever sources do, the body is right', async (t) => {
  const acts = Object.entries(FAULTS);
  for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed += 1) {
    const random = new Random(seed);
    const told: string[] = [];
    const peers = Array.from({ length: random.int(1, 5) }, () => {
      const rate = RATE * (0.1 + 1.4 * random.next());
      const [name, act] = random.pick(acts);
      const isFaulty = random.next() < 0.7;
      const afterBytes = random.int(0, 8 * MIB);
      told.push(isFaulty ? `${name} after ${afterBytes}` : 'works');
      return { rate, fault: isFaulty ? { afterBytes, act } : undefined };
    });
    peers.splice(random.int(0, peers.length), 0, { rate: RATE, fault: undefined });
    await t.test(`seed ${seed}: ${told.join(', ')}, and one that works`, async (round) => {
      const all = await startPeers(round, peers, random.int(12 * MIB, 24 * MIB));
      assertSame(await pull(all), all.bytes);
    });
  }
});
