/** Tests of attacks, several of which share a fleet: each is a line of a table. */
import { test } from 'node:test';
import { assertLiedTo, assertPromise, attack, tell } from './attack.ts';
import { AttackLab, attackMissing, type FleetOptions } from './attack-lab.ts';
import { addressesOf, type Liar } from './evil-host.ts';

/** By name; each list is the liars of one attack, which are on hosts of their own. */
export type Attacks = Readonly<Record<string, readonly Liar[]>>;

/** Three identities with ports of their own, on one host. */
export const THREE = { identities: 3 } as const;

export interface AttackTestOptions extends FleetOptions {
  /** Of these attacks the images are pulled in several namespaces at once. */
  readonly manyNamespaces?: readonly string[];
  /** Images that a host pulls at once. Default: 1. */
  readonly atOnce?: number;
  /** By `make attacks` alone: another attack of its kind is in each test run. */
  readonly isRare?: boolean;
}

const skips = { often: await attackMissing(), rarely: await attackMissing(true) };

/** One test: all of these attacks at once, on one fleet. Each host is told lies by each of them. */
export function attackTest(
  title: string,
  attacks: Attacks,
  { manyNamespaces = [], atOnce = 1, isRare = false, ...options }: AttackTestOptions = {},
): void {
  test(title, { skip: isRare ? skips.rarely : skips.often }, async (t) => {
    const all = Object.values(attacks).flat();
    const fleet = await AttackLab.create(all, t, options);
    let taken = 0;
    const running = Object.entries(attacks).map(([name, { length }]) => {
      const liars = fleet.liars.slice(taken, taken + length);
      taken += length;
      const isMany = manyNamespaces.includes(name);
      return attack(fleet, { name, liars, atOnce, manyNamespaces: isMany });
    });
    for (const outcome of await Promise.all(running)) {
      tell(t, outcome);
      // The lab itself sees no failure here: what a subtest finds fails its parent after the end.
      if (outcome.pulls.some(({ failed }) => failed.length > 1))
        process.stderr.write(`${outcome.name}: ${await fleet.lab.logTails()}\n`);
      await t.test(outcome.name, () => {
        assertLiedTo(outcome);
        assertPromise(outcome, addressesOf(attacks[outcome.name] ?? []));
      });
    }
  });
}
