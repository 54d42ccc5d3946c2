import assert from 'node:assert/strict';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { DISK, type Disk } from '../../../lib/hosts/transaction/disk.ts';
import { SCENARIOS } from '../scenarios.ts';
import { inScratch, isHidden, writeTree } from '../tree.ts';
import { interceptedDisk } from './mortal-disk.ts';

/**
 * A power cut cannot be made here, so the order of calls is checked: what a rename or a link puts
 * in place was fsynced since it was last written, and the journal says that a change is over only
 * when that is on the disk.
 */
for (const { name, tree, path, history, command } of SCENARIOS) {
  test(`in the order that outlives a power cut: ${name}`, async () => {
    await inScratch(async (base) => {
      writeTree(base, tree);
      const root = join(base, path);
      for (const earlier of history) await earlier(root);
      // At the end only our work directory goes; the next run removes it again if that is lost.
      await command(root, new Order(root).disk);
    });
  });
}

const WRITES = new Set(['writeSync', 'fchmodSync', 'fchownSync']);
const MOVES = new Set(['renameSync', 'linkSync']);
const ENTRIES = new Set([...MOVES, 'mkdirSync', 'rmdirSync', 'unlinkSync']);

/** What is written and not yet waited for. */
class Order {
  readonly disk: Disk;
  /** Directories from certs.d on in which an entry came or went. */
  readonly #directories = new Set<string>();
  readonly #root: string;
  readonly #files = new Set<string>();
  readonly #open = new Map<unknown, string>();

  constructor(root: string) {
    this.#root = root;
    this.disk = interceptedDisk((name, call, args) => {
      const result = call(...args);
      if (name === 'openSync') {
        this.#open.set(result, String(args[0]));
        if (args[1] === 'wx') this.#directories.add(dirname(String(args[0])));
      }
      if (WRITES.has(name)) this.#files.add(this.#pathOf(args));
      if (name === 'fsyncSync') this.#wait(this.#pathOf(args));
      if (ENTRIES.has(name)) this.#move(name, args.map(String));
      return result;
    });
  }

  #pathOf([descriptor]: readonly unknown[]): string {
    return this.#open.get(descriptor) ?? assert.fail('expected a descriptor that is open');
  }

  #wait(path: string): void {
    this.#files.delete(path);
    this.#directories.delete(path);
  }

  #move(name: string, paths: readonly string[]): void {
    const [from = '', to = from] = paths;
    if (MOVES.has(name)) {
      assert.ok(!this.#files.has(from), `${from} is put in place before it is on the disk`);
      const isReady = !this.#directories.has(from) || basename(from).startsWith('.spegel');
      assert.ok(isReady, `${from} is put in place before what it holds`);
      const open = [...this.#directories].filter((path) => !isHidden(path));
      if (to.endsWith('/journal.json')) assert.deepEqual(open, [], 'the journal is ahead');
    }
    // Gone with everything in it.
    for (const path of this.#directories)
      if (!DISK.lstatSync(path, { throwIfNoEntry: false })) this.#directories.delete(path);
    const changed = MOVES.has(name) ? [dirname(from), dirname(to)] : [dirname(from)];
    for (const path of changed) {
      if (path.startsWith(this.#root)) this.#directories.add(path);
    }
  }
}
