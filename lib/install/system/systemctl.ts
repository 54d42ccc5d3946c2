import { execFile } from 'node:child_process';
import { delay } from '../../base/abortable.ts';
import { messageOf, SpegelError } from '../../base/errors.ts';
import { PROGRESS_INTERVAL_MS, SYSTEMCTL_TIMEOUT_MS, UNIT_POLL_MS } from './constants.ts';

export interface UnitState {
  /** `not-found` where there is no such unit. */
  readonly load: string;
  /** `active`, `inactive`, `activating`, `deactivating` or `failed`. */
  readonly active: string;
  /** systemd's more detailed state, such as `auto-restart`. */
  readonly sub: string;
  /** The status text that the service reports. */
  readonly status: string;
  /** Identifies this run of the unit: each start gives another one. */
  readonly invocation: string;
  /** Whether files of the unit were changed since systemd read them. */
  readonly needsReload: boolean;
  /** Whether systemd still has to start, stop or restart it. */
  readonly hasJob: boolean;
  /** 0: the unit has no process. */
  readonly pid: number;
  /**
   * Since when it is active, or since when it is not active any more, ISO 8601; undefined: it never
   * was.
   */
  readonly since: string | undefined;
}

/** Whether a unit works, also while it reloads. */
export function isUp({ active }: UnitState): boolean {
  return active === 'active' || active === 'reloading';
}

/**
 * Whether the administrator has masked a unit: this host then shares and does not ask the mirror
 * itself.
 */
export function isMasked({ load }: UnitState): boolean {
  return load === 'masked';
}

/** Tells the administrator one line of progress. */
export type Say = (line: string) => void;

/**
 * Talks to systemd. Every call has a deadline, and rejects with SpegelError ERR_INSTALL that quotes
 * systemd.
 */
export class Systemctl {
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Runs `systemctl` with these words and returns its output. */
  call(...words: readonly string[]): Promise<string> {
    const options = {
      timeout: SYSTEMCTL_TIMEOUT_MS,
      signal: this.#signal,
      // Otherwise the language of messages, the time zone and the pager are those of the caller.
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

  /** The state of a unit. */
  async state(unit: string): Promise<UnitState> {
    const properties =
      'LoadState,ActiveState,SubState,StatusText,InvocationID,Job,MainPID,NeedDaemonReload,ActiveEnterTimestamp,ActiveExitTimestamp';
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
      hasJob: !['', '0'].includes(field('Job')),
      pid: Number(field('MainPID')),
      since: isoOf(
        field(
          ['active', 'reloading'].includes(active) ? 'ActiveEnterTimestamp' : 'ActiveExitTimestamp',
        ),
      ),
    };
  }

  /** Whether a unit starts at boot. */
  isEnabled(unit: string): Promise<boolean> {
    return this.call('is-enabled', unit).then(
      () => true,
      (error) => {
        if (this.#signal.aborted) throw error;
        return false;
      },
    );
  }

  /**
   * Waits until a unit has a state, and reports every second. Returns the last state, also after
   * `timeoutMs`.
   */
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

/**
 * The time in ISO 8601; undefined: systemd prints no time for what never was. `text` is such as
 * `Sun 2026-11-29 20:26:46 UTC`.
 */
function isoOf(text: string): string | undefined {
  const ms = Date.parse(text.replace(/^\w+ /, ''));
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}
