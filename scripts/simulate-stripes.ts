/**
 * Compares one source for a body with stripes: `node scripts/simulate-stripes.ts [small|big]
 * [image] [hop in ms] [case]`, each a part of a name. Prints what `simulate-inflight.ts` prints.
 * The cases with 5,000 hosts take three minutes for each rule.
 */
import { BIG, HOP_MS, IMAGES, SMALL } from './inflight-simulator/cases.ts';
import { playStriped, STRIPED_RULES } from './inflight-simulator/striped-cases.ts';

const [size, wanted = '', hop = String(HOP_MS), which = ''] = process.argv.slice(2);
const cases = size === 'small' ? SMALL : size === 'big' ? BIG : [...SMALL, ...BIG];

process.stdout.write(
  '| case | MiB | rule | slowest | median | copies | depth | children | moves | ask, us |\n',
);
process.stdout.write('|---|---|---|---|---|---|---|---|---|---|\n');
for (const each of cases.filter(({ name }) => name.includes(which))) {
  for (const [image, layers] of Object.entries(IMAGES)) {
    if (!image.includes(wanted)) continue;
    for (const rule of STRIPED_RULES) {
      const result = playStriped(each, layers, rule, Number(hop));
      const { slowest, median, copies, maxDepth, maxChildren, moves, askMicros } = result;
      const figures = [slowest, median, copies].map((figure) => figure.toFixed(2));
      const counts = [maxDepth, maxChildren, moves, Math.round(askMicros)];
      const cells = [each.name, image, rule.name, ...figures, ...counts];
      process.stdout.write(`| ${cells.join(' | ')} |\n`);
    }
  }
}
