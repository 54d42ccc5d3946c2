import { relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

/** A test file that hangs must not take the whole run with it. */
const FILE_TIMEOUT_MS = 10 * 60_000;

/** The counts that node:test prints after each file; the run prints one for all. */
const COUNTS = /^ℹ (?:tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) .*\n/gm;

export interface FileResult {
  /** Relative to the root of the repository. */
  readonly file: string;
  readonly seconds: number;
  readonly passed: number;
  /** Names of the tests. */
  readonly failed: readonly string[];
  /** Names of the skipped tests, by the reason. */
  readonly skipped: ReadonlyMap<string, readonly string[]>;
  /** What node:test's reporter `spec` says of it. */
  readonly output: string;
}

/**
 * Runs one test file in a process of its own. `file` is relative to `root`; `extraEnv` is added to
 * this process's environment.
 */
export async function runFile(
  root: string,
  file: string,
  extraEnv: Readonly<Record<string, string>>,
): Promise<FileResult> {
  const started = performance.now();
  let passed = 0;
  const failed: string[] = [];
  const skipped = new Map<string, string[]>();
  const env = { ...process.env, ...extraEnv };
  const options = { concurrency: 1, timeout: FILE_TIMEOUT_MS, isolation: 'process', env } as const;
  const stream = run({ files: [`${root}/${file}`], ...options });
  stream.on('test:pass', ({ name, details, skip }) => {
    if (details.type === 'suite') return;
    if (skip === undefined || skip === false) passed += 1;
    else {
      const reason = skip === true ? 'no reason given' : skip;
      skipped.set(reason, [...(skipped.get(reason) ?? []), name]);
    }
  });
  stream.on('test:fail', ({ name, details, file: from = '' }) => {
    // node:test reports a file that ends badly as a test with the name of the file.
    if (details.type !== 'suite') failed.push(name === from ? relative(root, name) : name);
  });
  let output = '';
  for await (const chunk of stream.compose(new spec())) output += chunk;
  const seconds = (performance.now() - started) / 1000;
  return { file, seconds, passed, failed, skipped, output: output.replace(COUNTS, '') };
}
