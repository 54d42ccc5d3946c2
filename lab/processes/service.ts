/**
 * Background processes of the lab.
 *
 * All of them must end with the test process, also when that one is killed by a time-out. So they
 * are started through `setpriv --pdeathsig KILL`: the kernel ends them, whatever happened to our
 * own clean-up.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { cleanEnv, waitUntil } from './exec.ts';

/** A background process that logs to a file and never outlives the test process. */
export class Service {
  readonly argv: readonly string[];
  readonly logPath: string;
  readonly #env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  constructor(
    argv: readonly string[],
    logPath: string,
    env: Readonly<Record<string, string>> = {},
  ) {
    this.argv = argv;
    this.logPath = logPath;
    this.#env = env;
  }

  get running(): boolean {
    return (
      this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
    );
  }

  /** How the last run ended, undefined while it runs or before the first start. */
  get ended():
    | { readonly code: number | null; readonly signal: NodeJS.Signals | null }
    | undefined {
    if (this.#child === undefined || this.running) return undefined;
    return { code: this.#child.exitCode, signal: this.#child.signalCode };
  }

  get pid(): number | undefined {
    return this.running ? this.#child?.pid : undefined;
  }

  /** Resolves when the process is gone (at once when there is none). */
  get exited(): Promise<void> {
    return this.#exited;
  }

  start(): void {
    if (this.running) throw new Error(`${this.argv.join(' ')} runs already`);
    const log = openSync(this.logPath, 'a');
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...this.argv], {
      stdio: ['ignore', log, log],
      env: cleanEnv(this.#env),
    });
    closeSync(log);
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => {
        this.#child = undefined; // it never ran
        resolve();
      });
    });
  }

  /** Waits until check answers true; when the process ends first, throws what it last said. */
  async ready(check: () => Promise<boolean>, timeoutMs = 60_000, everyMs = 25): Promise<void> {
    try {
      await waitUntil(
        'it is ready',
        async () => {
          if (!this.running) throw new Error('it ended');
          return check();
        },
        { timeoutMs, everyMs },
      );
    } catch (error) {
      throw new Error(`${this.argv.join(' ')}: ${(error as Error).message}\n${await this.tail()}`);
    }
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child?.kill(signal);
  }

  /** Stops it as a stuck process stops: alive, its connections open, silent. */
  freeze(): void {
    this.kill('SIGSTOP');
  }

  thaw(): void {
    this.kill('SIGCONT');
  }

  /** Asks it to end, forces it after the grace time; returns when it is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 5000): Promise<void> {
    if (!this.running) return;
    this.kill(signal);
    this.thaw(); // a frozen process does not see the signal
    const force = setTimeout(() => this.kill('SIGKILL'), graceMs);
    await this.#exited;
    clearTimeout(force);
  }

  /** The last lines of its log, without the sixty that containerd writes about its plugins. */
  async tail(lines = 30): Promise<string> {
    const text = await readFile(this.logPath, 'utf8').catch(() => '');
    const said = text
      .trimEnd()
      .split('\n')
      .filter((line) => !line.includes('level=info msg="loading plugin'));
    return said.slice(-lines).join('\n');
  }
}
