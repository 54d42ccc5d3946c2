/**
 * The generations of containerd that Debian has no package of: built from their sources, where Go
 * is.
 *
 * A build takes minutes on a machine with few cores, so it is begun early, in a process of its own
 * that yields to all others, and only a test that needs such a containerd waits for it.
 */
import { type SpawnOptions, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { access, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CommandError, run, succeeds } from '../processes/exec.ts';

/** By generation, the release that is tested. */
export const CONTAINERD_RELEASES = { '2.2': '2.2.9', '2.3': '2.3.7', '2.4': '2.4.2' } as const;

export type BuiltVersion = keyof typeof CONTAINERD_RELEASES;
/** Where the programs of a generation are, and its exact version. */
export interface Program {
  readonly bin: string;
  readonly exact: string;
}

/**
 * Those that are built here: all, or what LAB_CONTAINERD lists (`2.4,2.3`). The first costs a core
 * five minutes where Go has built nothing before, each further one three.
 */
function isWanted(version: BuiltVersion): boolean {
  return process.env.LAB_CONTAINERD?.split(',').includes(version) ?? true;
}

/** The programs that are to be built here. */
function wantedPrograms(dir: string): Program[] {
  const all = Object.entries(builtPrograms(dir)) as [BuiltVersion, Program][];
  return all.filter(([version]) => isWanted(version)).map(([, program]) => program);
}

const MODULE = 'github.com/containerd/containerd/v2';
const PROGRAMS = ['containerd', 'ctr', 'containerd-shim-runc-v2'];
/** Of all builds: minutes of two cores, of which the tests leave what they do not use. */
const BUILDS_TIMEOUT_MS = 25 * 60_000;
/**
 * For one: a test file that wants all three still ends before its ten minutes are over
 * (scripts/test.ts).
 */
const WAIT_TIMEOUT_MS = 3 * 60_000;
const LOOK_MS = 2000;
/** What failed here is not tried again by each test file of a run. */
const RETRY_AFTER_MS = 30 * 60_000;
/** Where Go's own installer puts it, which is not in every PATH. */
const GO_BIN = '/usr/local/go/bin';

const lockOf = (dir: string) => join(dir, 'lock-go');
const logOf = (dir: string) => `${lockOf(dir)}.log`;
const failureFile = ({ bin }: Program) => `${bin}.failed`;
const halfOf = ({ bin }: Program) => `${bin}.half`;
const hasGo = () => succeeds(['go', 'version'], { env: goEnv('') });
const say = (line: string) => process.stderr.write(`lab: ${line}\n`);

/** Where each generation is or will be. Whether it is there already, `buildMissing` knows. */
export function builtPrograms(dir: string): Record<BuiltVersion, Program> {
  const program = (version: BuiltVersion) => {
    const exact = CONTAINERD_RELEASES[version];
    return { bin: join(dir, `containerd-${exact}`), exact };
  };
  return { '2.2': program('2.2'), '2.3': program('2.3'), '2.4': program('2.4') };
}

/** What Go has to know of this machine (its proxies, its caches), and how this build is done. */
function goEnv(bin: string): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => /^GO|_proxy$/i.test(name));
  return {
    ...(Object.fromEntries(kept) as Record<string, string>),
    PATH: `${process.env.PATH ?? ''}:${GO_BIN}`,
    GOTOOLCHAIN: 'auto', // containerd asks for a newer Go than a machine may have
    CGO_ENABLED: '0',
    GOBIN: bin,
  };
}

function isBuilt({ bin }: Program): Promise<boolean> {
  return access(bin).then(
    () => true,
    () => false,
  );
}

/** Why the last try failed, while it is too early for another one. */
async function recentFailure(program: Program): Promise<string | undefined> {
  const file = failureFile(program);
  const age = await stat(file).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => undefined,
  );
  if (age === undefined || age > RETRY_AFTER_MS) return undefined;
  return readFile(file, 'utf8');
}

/** Whether there is nothing to do: it is built, or has just failed. */
async function isSettled(program: Program): Promise<boolean> {
  return (await isBuilt(program)) || (await recentFailure(program)) !== undefined;
}

/** The last words of Go that are no report of progress. */
function reasonOf(error: unknown): string {
  const { stderr = '', code } = error as Partial<CommandError>;
  const lines = stderr.split('\n').filter((line) => line && !/^go: (downloading|added)/.test(line));
  if (lines.length > 0) return String(lines.at(-1)).trim();
  return code === null ? `it took longer than ${BUILDS_TIMEOUT_MS / 60_000} min` : String(error);
}

/** Builds one generation. It appears whole or not at all. */
async function build(program: Program, timeoutMs: number): Promise<void> {
  const half = halfOf(program);
  await rm(half, { recursive: true, force: true });
  await mkdir(half, { recursive: true });
  say(`building containerd ${program.exact} (once per machine, about a minute)`);
  const packages = PROGRAMS.map((name) => `${MODULE}/cmd/${name}@v${program.exact}`);
  const flags = ['-tags', 'no_btrfs', '-ldflags', '-s -w'];
  const began = performance.now();
  await run(['go', 'install', ...flags, ...packages], { env: goEnv(half), timeoutMs, cwd: half });
  await rename(half, program.bin);
  say(`containerd ${program.exact} took ${((performance.now() - began) / 1000).toFixed()} s`);
}

/** Builds what is not there, and notes of what failed why it did. The caller holds the lock. */
async function buildAll(dir: string): Promise<void> {
  const end = performance.now() + BUILDS_TIMEOUT_MS;
  for (const program of wantedPrograms(dir)) {
    if (await isSettled(program)) continue;
    await build(program, Math.max(1, Math.round(end - performance.now()))).catch(async (error) => {
      const reason = reasonOf(error);
      say(`containerd ${program.exact} could not be built: ${reason}`);
      await writeFile(failureFile(program), reason);
      await rm(halfOf(program), { recursive: true, force: true });
    });
  }
}

/** Begins to build what is not there, in the background; what it says is in `lock-go.log`. */
export async function startBuilds(dir: string): Promise<void> {
  const settled = await Promise.all(wantedPrograms(dir).map(isSettled));
  if (settled.every(Boolean) || !(await hasGo())) return;
  await mkdir(dir, { recursive: true });
  // The second of two finds the lock held, and has nothing to do.
  const niced = ['nice', '-n', '19', process.execPath, import.meta.filename, dir];
  const log = openSync(logOf(dir), 'a');
  // It outlives the test file that began it: a file ends within seconds, the builds do not.
  const settings = { detached: true, stdio: ['ignore', log, log] } satisfies SpawnOptions;
  const builder = spawn('flock', ['--nonblock', lockOf(dir), ...niced], settings);
  builder.once('error', () => {}); // no flock here: the test that needs a build says so
  builder.unref();
  closeSync(log);
}

/** Waits for a generation; the reason why it cannot be had here, or false. */
export async function buildMissing(dir: string, version: BuiltVersion): Promise<string | false> {
  const program = builtPrograms(dir)[version];
  if (await isBuilt(program)) return false;
  const why = `no containerd ${program.exact}`;
  if (!isWanted(version)) return `${why}: not in LAB_CONTAINERD=${process.env.LAB_CONTAINERD}`;
  if (!(await hasGo())) return `${why}: no Go on this machine to build it`;
  if (!(await isSettled(program))) say(`waiting for containerd ${program.exact} to be built`);
  const end = performance.now() + WAIT_TIMEOUT_MS;
  while (!(await isSettled(program))) {
    if (performance.now() > end) return `${why}: still being built, see ${logOf(dir)}`;
    await startBuilds(dir); // again, since the one that builds may have been ended
    await sleep(LOOK_MS);
  }
  if (await isBuilt(program)) return false;
  return `${why}: go install said ${await recentFailure(program)}`;
}

if (import.meta.main) await buildAll(process.argv[2] ?? '');
