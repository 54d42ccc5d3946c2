import { messageOf } from '../base/errors.ts';
import type { Gauge } from '../base/instruments.ts';
import type { LogFields, Logger } from '../base/log.ts';
import {
  CHECK_EVERY_MS,
  MAX_LOGGED_PATHS,
  REPAIR_DEADLINE_MS,
  REPAIR_PAUSES,
  UNIT_START_MS,
} from './constants.ts';
import { RepairBackoff } from './repair-backoff.ts';
import type { RepairRequester, SettingsCheck } from './settings-check.ts';

export interface DriftHandlerParts {
  readonly log: Logger;
  /** spegel_mirror_settings {state}. */
  readonly gauge: Gauge;
  /** Undefined: no unit of systemd can repair the settings. */
  readonly repairs: RepairRequester | undefined;
}

const HINT = 'systemctl status spegel-configuration';

/**
 * Turns each check into what follows: the gauge, log lines (each once) and requests to repair the
 * settings. Times are of one monotonic clock, in milliseconds.
 */
export class DriftHandler {
  readonly #parts: DriftHandlerParts;
  readonly #backoff = new RepairBackoff(REPAIR_PAUSES);
  /** When the unit was first seen inactive. */
  #inactiveSince: number | undefined;
  #driftSince: number | undefined;
  /** When a repair was requested for the present drift. */
  #requestedAt: number | undefined;
  /** The unit's last run at that time. */
  #runAtRequest: string | undefined;
  #wasAsDesired = false;
  /** Whether a line about the present drift was logged. */
  #isLogged = false;
  #isFailed = false;
  #isContested = false;
  /** Whether the line that the unit is not active was logged, since it is not. */
  #isInactiveLogged = false;
  #problem: string | undefined;
  #leftAlone: ReadonlySet<string> | undefined;

  constructor(parts: DriftHandlerParts) {
    this.#parts = parts;
  }

  /**
   * Takes the result of a check. `check` is undefined where there is nothing to check, and `run`
   * where the unit is not active. Returns the milliseconds until the next check.
   */
  onCheck(
    check: SettingsCheck | undefined,
    run: string | undefined,
    now: number,
    leftByRun: readonly string[] = [],
  ): number {
    const { absent, leftAlone, present } = check ?? { absent: [], leftAlone: [], present: 0 };
    this.#problem = undefined;
    this.#logLeftAlone(leftAlone);
    this.#inactiveSince = run === undefined ? (this.#inactiveSince ?? now) : undefined;
    if (run !== undefined) this.#isInactiveLogged = false;
    const hasRunSince =
      this.#requestedAt !== undefined && run !== undefined && run !== this.#runAtRequest;
    if (hasRunSince && areAllBelow(absent, leftByRun)) {
      // The unit has run and could change nothing. Nobody has changed the files again.
      this.#runAtRequest = run;
      this.#requestedAt = now - REPAIR_DEADLINE_MS;
    }
    const pauseMs =
      absent.length === 0 ? this.#onDesiredState(now) : this.#onDrift(absent, run, now);
    this.#show({
      present,
      absent: absent.length,
      left_alone: leftAlone.length,
      failed: this.#isFailed ? 1 : 0,
    });
    this.#wasAsDesired ||= present > 0 && absent.length === 0;
    return pauseMs;
  }

  /** Takes an error of the check. Returns the milliseconds until the next check. */
  onFailedCheck(error: unknown, now: number): number {
    const problem = messageOf(error);
    const isNew = problem !== this.#problem;
    if (isNew) {
      this.#warn('cannot see whether the mirror settings are as wanted', { problem });
    }
    this.#problem = problem;
    this.#driftSince ??= now;
    this.#show({ failed: 1 });
    // A change of the files is checked sooner.
    return isNew ? CHECK_EVERY_MS : REPAIR_PAUSES.maxMs;
  }

  #show(counts: Readonly<Record<string, number>>): void {
    for (const [state, count] of Object.entries(counts)) this.#parts.gauge.set({ state }, count);
  }

  #onDesiredState(now: number): number {
    if (this.#isLogged) {
      const seconds = Math.round((now - (this.#driftSince ?? now)) / 1_000);
      this.#parts.log.info('the mirror settings are as wanted again', { seconds });
    }
    this.#isLogged = false;
    this.#driftSince = undefined;
    this.#requestedAt = undefined;
    this.#isFailed = false;
    return CHECK_EVERY_MS;
  }

  #onDrift(absent: readonly string[], run: string | undefined, now: number): number {
    const { repairs } = this.#parts;
    const isNew = this.#driftSince === undefined;
    this.#driftSince ??= now;
    const files = firstPaths(absent);
    if (repairs === undefined) {
      if (isNew && this.#wasAsDesired) {
        this.#warn("the mirror settings are not as wanted; run 'spegel configuration'", { files });
      }
      return CHECK_EVERY_MS;
    }
    const inactiveMs = now - (this.#inactiveSince ?? now);
    if (run === undefined && inactiveMs < UNIT_START_MS) return UNIT_START_MS - inactiveMs;
    // The unit has run since: it put the files back, and somebody changed them again.
    if (run !== this.#runAtRequest) {
      this.#requestedAt = undefined;
      this.#isFailed = false;
    }
    if (this.#requestedAt !== undefined) {
      const leftMs = this.#requestedAt + REPAIR_DEADLINE_MS - now;
      if (leftMs > 0) return leftMs;
      this.#logFailure(files, run !== undefined);
    }
    const { waitMs, isNew: isFirst } = this.#backoff.onDrift(now);
    if (isFirst) this.#isContested = false;
    if (waitMs > 0) return Math.min(waitMs, CHECK_EVERY_MS);
    this.#requestRepair(files, run, now);
    return REPAIR_DEADLINE_MS;
  }

  #requestRepair(files: readonly string[], run: string | undefined, now: number): void {
    // A unit that is not active has written nothing that somebody could have changed.
    const isAgain =
      run !== undefined && this.#backoff.requests > 0 && this.#requestedAt === undefined;
    this.#backoff.onRequest(now);
    const pause = `${this.#backoff.pauseMs / 1_000}s`;
    if (isAgain && !this.#isContested) {
      this.#isContested = true;
      const text = 'the mirror settings were changed again: another program writes there';
      this.#warn(`${text}; they are put back after growing pauses`, { files, next: pause });
    } else if (this.#backoff.requests === 1 && run !== undefined) {
      this.#warn('the mirror settings are not as wanted; systemd is to put them back', { files });
    }
    this.#requestedAt = now;
    this.#runAtRequest = run;
    this.#parts.repairs?.request();
  }

  #logFailure(files: readonly string[], isInForce: boolean): void {
    if (this.#isFailed) return;
    this.#isFailed = isInForce;
    if (isInForce) {
      this.#warn('the mirror settings could not be put back', { files, see: HINT });
    } else if (!this.#isInactiveLogged) {
      this.#isInactiveLogged = true;
      const text = 'containerd is not told to ask this host: spegel-configuration is not active';
      this.#parts.log.info(text, { see: HINT });
    }
  }

  #warn(message: string, fields: LogFields): void {
    this.#isLogged = true;
    this.#parts.log.warn(message, fields);
  }

  /**
   * Logs files that are left alone since the last check. The first check logs none: `spegel
   * configuration` has named those.
   */
  #logLeftAlone(leftAlone: SettingsCheck['leftAlone']): void {
    const former = this.#leftAlone;
    this.#leftAlone = new Set(leftAlone.map(({ path }) => path));
    if (former === undefined) return;
    const added = leftAlone.filter(({ path }) => !former.has(path));
    for (const { path, message } of added.slice(0, MAX_LOGGED_PATHS)) {
      this.#parts.log.warn('a hosts.toml is left alone now', { path, problem: message });
    }
  }
}

function areAllBelow(paths: readonly string[], directories: readonly string[]): boolean {
  return paths.every((path) =>
    directories.some((directory) => `${path}/`.startsWith(`${directory}/`)),
  );
}

function firstPaths(paths: readonly string[]): readonly string[] {
  if (paths.length <= MAX_LOGGED_PATHS) return paths;
  return [...paths.slice(0, MAX_LOGGED_PATHS), `and ${paths.length - MAX_LOGGED_PATHS} more`];
}
