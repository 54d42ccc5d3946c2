import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Arch } from './node-binary.ts';

/** The injector that pkg brings along and uses in its SEA mode. */
const postject = createRequire(import.meta.resolve('@yao-pkg/pkg/package.json'))('postject') as {
  inject(
    file: string,
    resource: string,
    data: Buffer,
    options: { readonly sentinelFuse: string },
  ): Promise<void>;
};

const run = promisify(execFile);

/**
 * Node looks for its application when these words in its binary end in 1; the injector sees to
 * that.
 */
const SENTINEL = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** Names inside of the executable must not depend on where it was built. */
const MAIN = 'spegel.cjs';

/**
 * Bounds of V8's heap, in MiB: the young generation is three times the first, and the second is all
 * of the old one. Left alone they follow the machine's memory: on a large host the garbage of a
 * pull of 2,040 small blobs grew to 150 MB before V8 looked at it (docs/design/data-path.md). The
 * second is what V8 itself chooses within the MemoryMax= of the unit.
 */
const HEAP_BOUNDS = ['--max-semi-space-size=2', '--max-old-space-size=256'];

/** Code caches bear random numbers otherwise, and no two builds were alike. */
const DETERMINISTIC = '--random-seed=1';

/**
 * Files of the repository that the executable carries, by the names that it knows them by
 * (cmd/install.ts).
 */
const ASSETS = [
  'spegel.service',
  'spegel-configuration.service',
  'spegel.socket',
  'spegel-settings.path',
  'spegel-settings.service',
];

/** What goes into an executable. */
export interface Parts {
  /** The repository. */
  readonly root: string;
  readonly bundle: string;
  readonly node: Buffer;
  readonly arch: Arch;
}

/**
 * Packs a bundle and a Node into one executable, in the two steps of `pkg --sea`: Node makes a blob
 * of the bundle, which is injected into the Node that is delivered. Not by pkg itself, since it can
 * hand no flag to the first step, without which there is no code cache in a reproducible build; the
 * cache halves the time to start and saves 10 MB of memory. `work` is a directory for what comes up
 * on the way; it is removed.
 */
export async function pack(parts: Parts, executable: string, work: string): Promise<void> {
  await mkdir(work, { recursive: true });
  await mkdir(dirname(executable), { recursive: true });
  const unfinished = `${executable}.new`;
  try {
    await copyFile(parts.bundle, join(work, MAIN));
    const blob = await blobOf(parts, work);
    await writeFile(unfinished, parts.node, { mode: 0o755 });
    await inject(unfinished, blob);
    // A rename, so that a running dist/spegel is replaced and not "text file busy".
    await rename(unfinished, executable);
  } finally {
    await rm(work, { recursive: true, force: true });
    await rm(unfinished, { force: true });
  }
}

/**
 * Without the warning that it has for every Node binary: the name of a note is lost, nothing reads
 * it.
 */
async function inject(file: string, blob: Buffer): Promise<void> {
  const { write } = process.stderr;
  process.stderr.write = (chunk: string | Uint8Array, ...rest: never[]) =>
    String(chunk).startsWith("warning: Can't find string offset for section name '.note") ||
    write.call(process.stderr, chunk, ...rest);
  try {
    await postject.inject(file, 'NODE_SEA_BLOB', blob, { sentinelFuse: SENTINEL });
  } finally {
    process.stderr.write = write;
  }
}

async function blobOf({ root, arch }: Parts, work: string): Promise<Buffer> {
  const config = {
    main: MAIN,
    output: 'blob',
    assets: Object.fromEntries(ASSETS.map((name) => [name, join(root, 'systemd', name)])),
    disableExperimentalSEAWarning: true,
    useSnapshot: false,
    // V8 takes only a cache that was made on the same architecture.
    useCodeCache: arch === process.arch,
    // NODE_OPTIONS of a user's shell must not change how a system service runs.
    execArgvExtension: 'none',
    // The daemon's log is JSON lines; node:ffi (lib/systemd/notify-socket.ts) would put two others
    // in front.
    execArgv: ['--disable-warning=ExperimentalWarning', ...HEAP_BOUNDS],
  };
  await writeFile(join(work, 'sea.json'), JSON.stringify(config));
  // V8 takes only a cache that was made with the same flags.
  const words = [DETERMINISTIC, ...HEAP_BOUNDS, '--experimental-sea-config', 'sea.json'];
  await run(process.execPath, words, { cwd: work });
  return readFile(join(work, 'blob'));
}
