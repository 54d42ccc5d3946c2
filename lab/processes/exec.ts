/** Running other programs from tests to their end, and waiting for things to come true. */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** A pull through a dead network hangs for minutes in containerd; a test wants to hear of it. */
const DEFAULT_TIMEOUT_MS = 120_000;
/** Lists of content and metrics pages are long; never truncated in practice. */
const MAX_OUTPUT = 64 * 1024 * 1024;

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** What ends it when `signal` is aborted or the time is over. Default: SIGKILL. */
  readonly killSignal?: NodeJS.Signals;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/** A program ended with another status than 0. Has its whole output. */
export class CommandError extends Error {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | string | null;

  constructor(
    argv: readonly string[],
    cause: Error & { code?: number | string | null },
    out: Output,
  ) {
    const said = (out.stderr.trim() || out.stdout.trim() || cause.message).slice(-2000);
    super(`${argv.join(' ')}\nended with ${cause.code ?? 'a signal (time-out?)'}: ${said}`, {
      cause,
    });
    this.name = 'CommandError';
    this.code = cause.code ?? null;
    this.stdout = out.stdout;
    this.stderr = out.stderr;
  }
}

/** Proxies of the test's environment must not come between hosts of the lab. */
export function cleanEnv(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = {
    PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`,
    HOME: '/root',
    LANG: 'C.UTF-8',
  };
  return { ...kept, ...extra };
}

/** Runs argv to its end; throws a CommandError unless it ends with 0. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const [command = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const settings = {
      encoding: 'utf8' as const,
      timeout: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      killSignal: options.killSignal ?? ('SIGKILL' as const),
      maxBuffer: MAX_OUTPUT,
      env: cleanEnv(options.env),
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.cwd ? { cwd: options.cwd } : {}),
    };
    execFile(command, args, settings, (error, stdout, stderr) => {
      if (error) reject(new CommandError(argv, error, { stdout, stderr }));
      else resolve({ stdout, stderr });
    });
  });
}

/** Whether argv ends with 0. For probes. */
export async function succeeds(
  argv: readonly string[],
  options: RunOptions = {},
): Promise<boolean> {
  return run(argv, options).then(
    () => true,
    () => false,
  );
}

/** Asks until the answer is true. Throws with what was waited for, else a hang says nothing. */
export async function waitUntil(
  what: string,
  check: () => Promise<boolean> | boolean,
  { timeoutMs = 60_000, everyMs = 25 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`);
    await sleep(everyMs);
  }
}
