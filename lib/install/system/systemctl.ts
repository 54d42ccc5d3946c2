import { execFile } from 'node:child_process';
import { delay } from '../../base/abortable.ts';
import { messageOf, SpegelError } from '../../base/errors.ts';
import { PROGRESS_INTERVAL_MS, SYSTEMCTL_TIMEOUT_MS, UNIT_POLL_MS } from './constants.ts';

export interface UnitState {
  /** `not-found` where there is no such unit. */
  readonly load: string;
  /** `active`, `inactive`, `activating`, `deactivating` or `failed`. */
  readonly active: string;
  /** In systemd's words in more detail, such as `auto-restart`. */
  readonly sub: string;
  /** What the service said of itself. */
  readonly status: string;
  /** Of this run of the unit; another one after each start. */
  readonly invocation: string;
  /** Files of the unit were changed since systemd read them. */
  readonly needsReload: boolean;
  /** 0: it has no process. */
  readonly pid: number;
  /** Since when it is active, or is not any more, ISO 8601; undefined: it has never been active. */
  readonly since: string | undefined;
}

/** Whether a unit does what it is for; while it is reloaded, too. */
export function isUp({ active }: UnitState): boolean {
  return active === 'active' || active === 'reloading';
}

/** Somebody wants this host to share without asking itself. */
export function isMasked({ load }: UnitState): boolean {
  return load === 'masked';
}

/** What is told to the person who waits, a line at a time. */
export type Say = (line: string) => void;

/** Asks systemd. Every call ends by a deadline, and rejects with SpegelError ERR_INSTALL that has systemd's words. */
export class Systemctl {
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Runs `systemctl` with these words and gives what it printed. */
  call(...words: readonly string[]): Promise<string> {
    const options = {
      timeout: SYSTEMCTL_TIMEOUT_MS,
      signal: this.#signal,
      // The language of messages, the time zone and the pager are the caller's matter otherwise.
      env: { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/sbin:/usr/bin:/sbin:/bin', SYSTEMD_PAGER: '' },
    };
    return new Promise((resolve, reject) => {
      execFile('systemctl', [...words], options, (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(this.#problem(words, error, stderr));
      });
    });
  }

  #problem(words: readonly string[], error: Error, stderr: string): unknown {
    if (this.#signal.aborted) return this.#signal.reason;
    const said = stderr.trim().replaceAll(/\s*\n\s*/g, '; ') || messageOf(error);
    const text = `expected 'systemctl ${words.join(' ')}' to succeed, got: ${said}`;
    return new SpegelError('ERR_INSTALL', text, { cause: error });
  }

  /** What systemd knows of a unit. */
  async state(unit: string): Promise<UnitState> {
    const properties =
      'LoadState,ActiveState,SubState,StatusText,InvocationID,MainPID,NeedDaemonReload,ActiveEnterTimestamp,ActiveExitTimestamp';
    const shown = await this.call('show', '--no-pager', `--property=${properties}`, unit);
    const field = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(shown)?.[1] ?? '';
    const active = field('ActiveState');
    return {
      load: field('LoadState'),
      active,
      sub: field('SubState'),
      status: field('StatusText'),
      invocation: field('InvocationID'),
      needsReload: field('NeedDaemonReload') === 'yes',
      pid: Number(field('MainPID')),
      since: isoOf(
        field(
          ['active', 'reloading'].includes(active) ? 'ActiveEnterTimestamp' : 'ActiveExitTimestamp',
        ),
      ),
    };
  }

  /** Whether a unit is started at boot. */
  isEnabled(unit: string): Promise<boolean> {
    return this.call('is-enabled', unit).then(
      () => true,
      (error) => {
        if (this.#signal.aborted) throw error;
        return false;
      },
    );
  }

  /** Waits until a unit is as wanted; says every second how it is. Gives the last state after `timeoutMs`. */
  async until(
    unit: string,
    isWanted: (state: UnitState) => boolean,
    { timeoutMs, say }: { readonly timeoutMs: number; readonly say: Say },
  ): Promise<UnitState> {
    const began = performance.now();
    let saidAt = began;
    for (;;) {
      const state = await this.state(unit);
      const now = performance.now();
      if (isWanted(state) || now - began > timeoutMs) return state;
      if (now - saidAt >= PROGRESS_INTERVAL_MS) {
        const seconds = Math.round((now - began) / 1_000);
        say(`waiting for ${unit}, ${seconds} s: ${state.status || state.active}`);
        saidAt = now;
      }
      await delay(UNIT_POLL_MS, this.#signal);
    }
  }
}

/** Of `Sun 2026-11-29 20:26:46 UTC`; systemd says nothing of what never was. */
function isoOf(text: string): string | undefined {
  const ms = Date.parse(text.replace(/^\w+ /, ''));
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}
