/**
 * What several holders of one layer give a host that pulls it. Measures all rows, or those that are
 * named:
 *
 *     node scripts/bench/many-sources.ts [four-holders …]
 */
import { labMissing } from '../../lab/fleet/lab.ts';
import { benchFallingHolder } from './falling-holder.ts';
import { benchFourHolders } from './four-holders.ts';
import { benchManyPullers } from './many-pullers.ts';
import { benchOneFast } from './one-fast.ts';
import { benchOneHolder } from './one-holder.ts';
import { benchSlowLeader } from './slow-leader.ts';
import { missing, printTable, type Row } from './table.ts';

/** By the name that asks for it. */
const ROWS: Readonly<Record<string, () => Promise<Row[]>>> = {
  'four-holders': benchFourHolders,
  'one-fast': benchOneFast,
  'falling-holder': benchFallingHolder,
  'one-holder': benchOneHolder,
  'many-pullers': benchManyPullers,
  'slow-leader': benchSlowLeader,
};

/** All rows, or those of these names. Needs root on Debian; throws on a name that it lacks. */
export async function benchManySources(
  names: readonly string[] = Object.keys(ROWS),
): Promise<Row[]> {
  const reason = await labMissing();
  if (reason !== false) return [missing('one layer from many hosts', reason)];
  const rows: Row[] = [];
  for (const name of names) {
    const bench = ROWS[name];
    if (bench === undefined) throw new Error(`${name}: one of ${Object.keys(ROWS).join(', ')}`);
    rows.push(...(await bench()));
  }
  return rows;
}

if (import.meta.main) {
  const names = process.argv.slice(2);
  printTable(await benchManySources(names.length > 0 ? names : undefined));
}
