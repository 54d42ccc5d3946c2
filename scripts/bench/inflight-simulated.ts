import { BIG, type Case, IMAGES, play, WINNER } from '../inflight-simulator/cases.ts';
import type { Row } from './table.ts';

/** Rows for fleets larger than a machine can hold, simulated with the real rule: two minutes. */
export async function benchInflightSimulated(): Promise<Row[]> {
  return BIG.filter(({ stagger }) => stagger === undefined).map(rowOf);
}

function rowOf(which: Case): Row {
  const layers = IMAGES['4 x 24'] ?? [];
  const { slowest, copies } = play(which, layers, WINNER);
  const isMet = slowest <= 1.5 && copies <= 1.1;
  return {
    what: `simulated: ${which.name} Mbit/s, 4 x 24 MiB: slowest of the equal hosts`,
    ours: `${slowest.toFixed(2)} x alone, upstream ${copies.toFixed(2)} copies`,
    baseline: 'aim: 1.5 x, 1.1 copies',
    ratio: isMet
      ? 'met'
      : 'not met: on links no faster than the upstream’s each branch halves what comes',
  };
}
