/**
 * Compares rules for in-flight sharing: `node scripts/simulate-inflight.ts [small|big] [image] [hop
 * in ms]`, an image is a part of a name in IMAGES. Prints for each case the slowest of the hosts
 * with full links against one host alone, and what the upstream sent. A few minutes for all.
 */
import { BIG, HOP_MS, IMAGES, LOSERS, play, SMALL, WINNER } from './inflight-simulator/cases.ts';

const [size, wanted = '', hop = String(HOP_MS)] = process.argv.slice(2);
const cases = size === 'small' ? SMALL : size === 'big' ? BIG : [...SMALL, ...BIG];

process.stdout.write(
  '| case | MiB | rule | slowest | median | copies | depth | children | moves | ask, us |\n',
);
process.stdout.write('|---|---|---|---|---|---|---|---|---|---|\n');
for (const each of cases) {
  for (const [image, layers] of Object.entries(IMAGES)) {
    if (!image.includes(wanted)) continue;
    for (const rule of [WINNER, ...LOSERS]) {
      const result = play(each, layers, rule, Number(hop));
      const { slowest, median, copies, maxDepth, maxChildren, moves, askMicros } = result;
      const figures = [slowest, median, copies].map((figure) => figure.toFixed(2));
      const counts = [maxDepth, maxChildren, moves, Math.round(askMicros)];
      const cells = [each.name, image, rule.name, ...figures, ...counts];
      process.stdout.write(`| ${cells.join(' | ')} |\n`);
    }
  }
}
