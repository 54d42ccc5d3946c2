import assert from 'node:assert/strict';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ConfigurationSettings } from '../../lib/hosts/configuration-settings.ts';
import { cleanUpMirrors, configureMirrors, type HostsOutcome } from '../../lib/hosts/mirrors.ts';
import { EFFORT } from '../support/effort.ts';
import { Administrator, type OwnFile, ownLines, tokenLines, withoutOurs } from './administrator.ts';
import { certsD, settings, TARGETS } from './arbitrary.ts';
import { type Edit, edit } from './arbitrary-edits.ts';
import {
  type Entry,
  file,
  inScratch,
  isHidden,
  QUICK_DISK,
  readTree,
  type Tree,
  writeTree,
} from './tree.ts';

/** `make test` has seconds for this; set it to look longer. */
const RUNS = Math.ceil(300 * EFFORT);

/**
 * The same sequences in each run of `make test`: what fails there is to be the change's doing. Set
 * it to try others.
 */
const SEED = Number(process.env.SPEGEL_PROPERTY_SEED ?? 20_261_122);

type Step = Edit | { do: 'configure'; settings: ConfigurationSettings } | { do: 'clean up' };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: edit },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('configure' as const), settings }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clean up' as const) }) },
);

const options = { signal: new AbortController().signal, disk: QUICK_DISK };

const PLAIN: ConfigurationSettings = {
  targets: TARGETS.slice(0, 1),
  resolveTags: true,
  dialTimeoutMs: 1000,
  authorization: undefined,
  isForAll: true,
  registries: [],
  excluded: [],
  prependExisting: true,
};
const joined: Step = { do: 'configure', settings: PLAIN };
const aside: Step = { do: 'configure', settings: { ...PLAIN, prependExisting: false } };
const secret: Step = { do: 'configure', settings: { ...PLAIN, authorization: 'Basic eDp5' } };
const both: Step = { do: 'configure', settings: { ...PLAIN, targets: TARGETS.slice(0, 2) } };
const comment = '# a comment %\n';
const own = (data: string, mode = 0o644): Tree => ({ '_default/hosts.toml': file(data, mode) });

/** What was found once is tried in each run. */
const EXAMPLES: [Tree, Step[]][] = [
  // Lines on both sides of the block ran together.
  [own('# above adm1x\n#'), [joined, { do: 'insert', file: 0, at: 1_000_000, text: comment }]],
  // A chmod was lost when the file was set aside later.
  [own('# adm1x\n', 0o600), [joined, { do: 'chmod', file: 0, mode: 0o644 }, aside, joined]],
  // A private file in the place of ours became public.
  [own('# adm1x\n'), [secret, { do: 'write', name: '_default', text: comment, mode: 0o600 }]],
  // Our lines stayed in a file that no longer parses.
  [
    {},
    [
      both,
      { do: 'replace', file: 0, at: 8, text: 'capabilities = ["pull"] # %\n' },
      { do: 'remove', file: 0, at: 0, count: 1 },
    ],
  ],
  // A copy of `_default` with other line ends was not told from what was typed beside it.
  [
    own('\n# above adm1x\n#\n'),
    [
      { do: 'turn line ends', file: 0 },
      { do: 'configure', settings: { ...PLAIN, excluded: ['[::1]:5000'] } },
      { do: 'insert', file: 0, at: 1, text: comment },
      joined,
    ],
  ],
  // A block was not told from what was typed within it.
  [own('# adm1x\n'), [joined, { do: 'insert', file: 0, at: 3, text: comment }, secret]],
];

test('no sequence of configuration, edits and cleanup loses a line of the administrator’s', async (t) => {
  let clean = 0;
  await fc.assert(
    fc.asyncProperty(certsD, fc.array(step, { minLength: 2, maxLength: 12 }), (tree, steps) =>
      inScratch(async (base) => {
        const root = join(base, 'certs.d');
        writeTree(root, tree);
        const session = new Session(root);
        for (const given of steps) await session.take(given);
        if (await session.end()) clean += 1;
      }),
    ),
    { numRuns: RUNS, seed: SEED, examples: EXAMPLES },
  );
  t.diagnostic(`${RUNS} sequences, ${clean} of them to the end without a file left alone`);
  assert.ok(clean > RUNS / 2, 'most sequences are to come to an end that can be checked');
});

/** One certs.d, its administrator and us. */
class Session {
  readonly #root: string;
  readonly #administrator: Administrator;

  constructor(root: string) {
    this.#root = root;
    this.#administrator = new Administrator(root);
  }

  async take(given: Step): Promise<void> {
    if (given.do === 'configure') await this.#configure(given.settings);
    else if (given.do === 'clean up') await this.#cleanUp();
    else this.#administrator.apply(given);
  }

  /** Cleans up until nothing is left alone; false when something is for good. */
  async end(): Promise<boolean> {
    // What was displaced is named once, and is the administrator's from then on.
    await this.#cleanUp();
    const { problems } = await this.#cleanUp();
    if (problems.length > 0) return false;
    for (const [path, entry] of Object.entries(readTree(this.#root))) {
      assert.ok(!isHidden(path), `${path} is left`);
      if (entry.kind !== 'file' || !path.endsWith('/hosts.toml')) continue;
      const text = String(entry.data);
      assert.doesNotMatch(text, /# >>> spegel [0-9a-f]{12}: written|taken out by/, path);
      // He may name our mirrors himself.
      const others = text.split('\n').filter((line) => !/adm\d+x/.test(line));
      for (const target of TARGETS) {
        assert.ok(!others.some((line) => line.includes(target)), `${path}: ${target}`);
      }
    }
    for (const [path, { away }] of this.#administrator.files) assert.deepEqual(away, [], path);
    return true;
  }

  async #configure(given: ConfigurationSettings): Promise<void> {
    const before = readTree(this.#root);
    const outcome = await configureMirrors([this.#root], given, options);
    this.#check(before, outcome, given.prependExisting ? 'joined' : 'may be set aside');
  }

  async #cleanUp(): Promise<HostsOutcome> {
    const before = readTree(this.#root);
    const outcome = await cleanUpMirrors([this.#root], options);
    this.#check(before, outcome, 'cleaned');
    return outcome;
  }

  #check(before: Tree, { problems }: HostsOutcome, kind: Kind): void {
    const after = readTree(this.#root);
    const hidden = Object.entries(after)
      .filter(([path]) => isHidden(path))
      .flatMap(([, entry]) => tokenLines(textOf(entry)));
    const left = new Set(problems.map(({ path }) => relative(this.#root, path)));
    this.#checkOthers(before, after);
    const paths = [...this.#administrator.files.keys(), ...Object.keys(after)];
    for (const path of new Set(paths.filter(isOurs))) {
      const own = this.#administrator.of(path);
      this.#takeDisplaced(path, before, after, own);
      // What we wrote in this step stands between our marks without a line of his.
      const isRewritten = textOf(before[path]) !== textOf(after[path]);
      const known = isRewritten ? [] : own.lines;
      const now = ownLines(textOf(after[path]), known);
      this.#checkLines(path, now, own, { hidden, isLeft: left.has(path), kind });
      if (kind === 'cleaned' && !left.has(path)) checkCleaned(path, before, after, own);
      const entry = after[path];
      own.leftMode = entry?.kind === 'file' ? entry.mode : undefined;
      if (left.has(path)) checkLeftAlone(path, before, after);
      else own.isBlockEdited = false;
    }
  }

  /**
   * Whatever is no hosts.toml of a registry stays; only we make directories there and remove them.
   */
  #checkOthers(before: Tree, after: Tree): void {
    for (const path of new Set([...Object.keys(before), ...Object.keys(after)])) {
      if (isHidden(path) || isOurs(path)) continue;
      if (isOurs(`${path}/hosts.toml`) && [before, after].every((tree) => isDirectory(tree[path])))
        continue;
      if (before[path] === undefined && path.includes('hosts.toml.before-spegel')) continue;
      assert.deepEqual(after[path], before[path], path);
    }
  }

  /**
   * What lost its place while it was set aside is beside it now, and the administrator's to keep.
   */
  #takeDisplaced(path: string, before: Tree, after: Tree, own: OwnFile): void {
    const beside = Object.keys(after).filter((other) => other.startsWith(`${path}.before-spegel`));
    for (const other of beside.filter((name) => before[name] === undefined)) {
      const lines = tokenLines(textOf(after[other]));
      assert.deepEqual(lines, own.away, `${other} holds what was set aside`);
      own.away = [];
    }
  }

  #checkLines(path: string, now: string[], own: OwnFile, { hidden, isLeft, kind }: Seen): void {
    const isGone = own.lines.length > 0 && now.length === 0;
    if (kind === 'may be set aside' && isGone && !isLeft) {
      own.away = [...own.away, ...own.lines];
      own.lines = [];
    } else if (now.length > 0 && own.lines.length === 0 && own.away.length > 0) {
      // Put back.
      assert.deepEqual(now, own.away, `${path} is as it was before it was set aside`);
      own.lines = own.away;
      own.away = [];
    }
    assert.deepEqual(now, own.lines, `the administrator's lines in ${path}`);
    const lost = own.away.filter((line) => !hidden.includes(line));
    assert.deepEqual(lost, [], `lines of ${path} that are nowhere`);
    if (kind !== 'may be set aside' && !isLeft) assert.deepEqual(own.away, [], path);
  }
}

type Kind = 'joined' | 'may be set aside' | 'cleaned';

interface Seen {
  /** Lines in our work directory. */
  readonly hidden: readonly string[];
  readonly isLeft: boolean;
  readonly kind: Kind;
}

/** True for the files that we write. */
function isOurs(path: string): boolean {
  return /^(?!\.|no registry)[^/]+\/hosts\.toml$/.test(path);
}

/** True where nothing is or a directory. */
function isDirectory(entry: Entry | undefined): boolean {
  return entry === undefined || entry.kind === 'directory';
}

function textOf(entry: Entry | undefined): string {
  return entry?.kind === 'file' ? String(entry.data) : '';
}

/** A file that is left alone is as it was, or as it would be without us. */
function checkLeftAlone(path: string, before: Tree, after: Tree): void {
  const entry = after[path];
  const isWithoutUs =
    entry?.kind !== 'file' || !/# >>> spegel [0-9a-f]{12}/.test(String(entry.data));
  if (!isWithoutUs) assert.deepEqual(entry, before[path], `${path} was not left alone`);
}

/**
 * A block that nobody edited leaves every byte around it, and the mode that the administrator gave.
 */
function checkCleaned(path: string, before: Tree, after: Tree, own: OwnFile): void {
  const [was, is] = [before[path], after[path]];
  if (was?.kind !== 'file' || own.isBlockEdited) return;
  if (is === undefined) {
    assert.ok(!own.isHis || withoutOurs(String(was.data)) === '', path);
    return;
  }
  assert.ok(is.kind === 'file', path);
  if (own.isHis && own.mode !== undefined) assert.equal(is.mode, own.mode, `mode of ${path}`);
  const expected = withoutOurs(String(was.data));
  if (expected !== '') assert.equal(String(is.data), expected, path);
}
