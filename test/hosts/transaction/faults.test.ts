import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SpegelError } from '../../../lib/base/errors.ts';
import type { Disk } from '../../../lib/hosts/transaction/disk.ts';
import { type Command, cleanUp, configure, SCENARIOS, SOME } from '../scenarios.ts';
import {
  assertSameTree,
  file,
  inScratch,
  isHidden,
  readTree,
  type Tree,
  writeTree,
} from '../tree.ts';
import { after, begin, type Expected, settled, tried, undisturbed } from '../undisturbed.ts';
import { failingDisk, interceptedDisk } from './mortal-disk.ts';

let total = 0;
for (const scenario of SCENARIOS) {
  test(`one call of the disk fails, whichever: ${scenario.name}`, async (t) => {
    const { path, command } = scenario;
    await inScratch(async (base) => {
      const expected = await undisturbed(scenario, base);
      for (const [at, name] of tried(expected.calls)) {
        const when = `call ${at}, ${name}, failed`;
        begin(base, expected.start);
        const failure = await failureOf(() => command(join(base, path), failingDisk(at, 'EIO')));
        const now = readTree(base);
        if (failure === undefined) checkDone(now, expected, when);
        else checkFailed(now, expected, failure, { when, base });
        await command(join(base, path));
        const again = settled(readTree(base));
        assertSameTree(again, settled(expected.finished), `${when}, then run again`);
        const cleaned = await after(cleanUp, { base, path, start: now });
        assertSameTree(cleaned, expected.cleaned, `${when}, then cleaned up`);
        total += 1;
      }
    });
    t.diagnostic(`${total} failures so far`);
  });
}

/** The failure was of a call that does not matter, or of one that kept a single registry out. */
function checkDone(now: Tree, { start, finished }: Expected, when: string): void {
  for (const [path, entry] of Object.entries(visible(now))) {
    const isSame = [start[path], finished[path]].some((other) => {
      return JSON.stringify(other) === JSON.stringify(entry);
    });
    assert.ok(isSame, `${when}: ${path} is ${JSON.stringify(entry)}`);
  }
}

interface Failure {
  readonly when: string;
  readonly base: string;
}

/** The message says where and what, and either nothing is changed or it says so. */
function checkFailed(now: Tree, { start }: Expected, failure: unknown, { when, base }: Failure) {
  assert.ok(failure instanceof SpegelError, `${when}: ${failure}`);
  const { message } = failure;
  assert.ok(message.startsWith(base), `${when}: ${message}`);
  assert.match(message, /EIO/);
  assert.doesNotMatch(message, /some files are changed/, `${when}: one failure can be undone`);
  if (/run this again/.test(message)) return;
  assertSameTree(visible(now), visible(start), `${when}: ${message}`);
}

async function failureOf(work: () => Promise<unknown>): Promise<unknown> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error;
  }
}

function visible(tree: Tree): Tree {
  return Object.fromEntries(Object.entries(tree).filter(([path]) => !isHidden(path)));
}

const BUSY = '[host."https://busy.example"]\n';
const SAVED = '[host."https://busy.example"]\n# saved this very moment\n';

/** A disk on which the administrator saves his file right before call number `at` of one kind. */
function busyDisk(name: string, at: number, save: () => void): Disk {
  let count = 0;
  return interceptedDisk((called, call, args) => {
    if (called === name) {
      count += 1;
      if (count === at) save();
    }
    return call(...args);
  });
}

const RUNS: readonly [string, Command[], Command][] = [
  ['configuration', [], configure(SOME)],
  ['cleanup', [configure(SOME)], cleanUp],
];
/** How programs save: into the file, or a new one that takes its place. */
const MANNERS: readonly [string, (path: string, text: string) => void][] = [
  ['in place', fs.writeFileSync],
  [
    'by a rename',
    (path, text) => {
      fs.writeFileSync(`${path}~`, text);
      fs.renameSync(`${path}~`, path);
    },
  ],
];
const CALLS = ['lstatSync', 'readFileSync', 'linkSync', 'renameSync', 'writeSync', 'unlinkSync'];

for (const [what, history, command] of RUNS) {
  for (const [manner, save] of MANNERS) {
    for (const call of CALLS) {
      // Between our last look and our rename there is no way to see another's rename.
      if (call === 'renameSync' && manner === 'by a rename') continue;
      test(`${what} keeps what is saved ${manner} before any ${call}`, async () => {
        let at = 1;
        // Every one of the first, and of the many that follow some.
        while (await savedDuring({ history, command, call, save, at })) at += at < 25 ? 1 : 7;
        assert.ok(at > 1, 'the file was never saved');
      });
    }
  }
}

interface Race {
  readonly history: readonly Command[];
  readonly command: Command;
  readonly call: string;
  readonly save: (path: string, text: string) => void;
  readonly at: number;
}

/** Checks one race; false when the run had come to its end before. */
function savedDuring({ history, command, call, save, at }: Race): Promise<boolean> {
  return inScratch(async (root) => {
    const path = join(root, 'quay.io/hosts.toml');
    writeTree(root, { 'quay.io/hosts.toml': file(BUSY) });
    for (const earlier of history) await earlier(root);
    let isSaved = false;
    const disk = busyDisk(call, at, () => {
      isSaved = true;
      // He adds a line to what he sees, our block or not.
      save(path, fs.readFileSync(path, 'utf8') + SAVED.slice(BUSY.length));
    });
    const failure = await failureOf(() => command(root, disk));
    if (failure !== undefined) {
      assert.match(String(failure), /quay\.io\/hosts\.toml: somebody else is writing it/);
    }
    await cleanUp(root);
    assert.equal(fs.readFileSync(path, 'utf8'), isSaved ? SAVED : BUSY, `at number ${at}`);
    return isSaved;
  });
}
