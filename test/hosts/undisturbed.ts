/** Runs of scenarios that nobody disturbs: what a disturbed one is compared with. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { HostsOutcome } from '../../lib/hosts/mirrors.ts';
import { EFFORT } from '../support/effort.ts';
import { type Command, cleanUp, configure, type Scenario, SOME } from './scenarios.ts';
import { countingDisk } from './transaction/mortal-disk.ts';
import { assertSameTree, readTree, type Tree, writeTree } from './tree.ts';

/** What is to come of a scenario, learnt from runs that nobody disturbed. */
export interface Expected {
  /** Before the command. */
  readonly start: Tree;
  readonly finished: Tree;
  readonly outcome: HostsOutcome;
  readonly calls: readonly string[];
  /** After other settings instead of the command. */
  readonly other: Tree;
  readonly cleaned: Tree;
}

export const other = configure(SOME);

export async function undisturbed(scenario: Scenario, base: string): Promise<Expected> {
  const { path, tree, history, command, own } = scenario;
  const root = join(base, path);
  begin(base, tree);
  for (const earlier of history) await earlier(root);
  const start = readTree(base);
  const { disk, names: calls } = countingDisk();
  const outcome = await command(root, disk);
  const finished = readTree(base);
  const cleaned = await after(cleanUp, { base, path, start });
  begin(base, own);
  assertSameTree(cleaned, readTree(base), 'a cleanup that nobody disturbs');
  return {
    start,
    finished,
    outcome,
    calls,
    other: await after(other, { base, path, start }),
    cleaned,
  };
}

/**
 * The directory holds this tree and nothing else: always the same path, since files name others by
 * theirs.
 */
export function begin(base: string, tree: Tree): void {
  for (const name of fs.readdirSync(base)) fs.rmSync(join(base, name), { recursive: true });
  writeTree(base, tree);
}

interface From {
  readonly base: string;
  readonly path: string;
  readonly start: Tree;
}

/** The tree after a command that begins with another tree. */
export async function after(command: Command, { base, path, start }: From): Promise<Tree> {
  begin(base, start);
  await command(join(base, path));
  return readTree(base);
}

/** The tree, and of journals what they say: in which order depends on what was before. */
export function settled(tree: Tree): Tree {
  const entries = Object.entries(tree).map(([path, entry]) => {
    if (!path.endsWith('/journal.json') || entry.kind !== 'file') return [path, entry];
    const { files, ...journal } = JSON.parse(String(entry.data));
    const sorted = Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1));
    return [path, { ...entry, data: JSON.stringify({ sorted, ...journal }) }];
  });
  return Object.fromEntries(entries);
}

/** Every third call of the disk, since all of them take minutes. */
export function tried(calls: readonly string[]): [number, string][] {
  const step = Math.max(1, Math.round(3 / EFFORT));
  return [...calls.entries()].filter(([at]) => at % step === 0);
}
