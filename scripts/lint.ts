import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Problem, problemsOfFile, repeatedNames } from './lint-rules.ts';

/**
 * Holds the conventions that biome has no rule for: `node scripts/lint.ts [path...]`. A path
 * selects the files below it. Prints `path:line: problem`, then the sum, and exits with 1 when
 * there is one.
 */
const root = join(import.meta.dirname, '..');
const selected = process.argv.slice(2);
const tracked = execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
});
const paths = tracked.split('\0').filter((path) => path !== '' && existsSync(join(root, path)));
const exists = (path: string) => existsSync(join(root, path));
const sources = paths
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
const documents = paths
  .filter((path) => path.endsWith('.md'))
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));

const isSelected = ({ path }: Problem) =>
  selected.length === 0 || selected.some((prefix) => path.startsWith(prefix));
const problems = [
  ...[...sources, ...documents].flatMap((file) => problemsOfFile(file, exists)),
  ...repeatedNames(sources),
].filter(isSelected);

for (const { path, line, message } of problems) {
  process.stdout.write(`${path}:${line}: ${message}\n`);
}
process.stdout.write(`${problems.length} problems with the conventions of this repository\n`);
process.exitCode = problems.length > 0 ? 1 : 0;
