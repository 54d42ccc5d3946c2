import { messageOf } from '../base/errors.ts';
import type { Gauge } from '../base/instruments.ts';
import type { LogFields, Logger } from '../base/log.ts';
import { RepairBackoff } from './repair-backoff.ts';
import type { RepairRequester, SettingsCheck } from './settings-check.ts';

export interface DriftHandlerParts {
  readonly log: Logger;
  /** spegel_mirror_settings {state}. */
  readonly gauge: Gauge;
  /** Undefined: nobody can be asked. */
  readonly repairs: RepairRequester | undefined;
}

/** A directory watch may have missed something. */
const LOOK_MS = 30_000;
/** What was asked is done by then, also on a host that is busy. */
const ANSWER_MS = 10_000;
/** The unit of the settings starts after this service, and may have been started anew. */
const UNIT_START_MS = 30_000;
const PACE = { minMs: 5_000, maxMs: 300_000, quietMs: 600_000 };
/** As many paths as a person reads. */
const MAX_NAMED = 5;

const HINT = 'systemctl status spegel-configuration';

/**
 * What follows from each look: what the gauge shows, what is said, and once for each thing, and
 * when the settings are to be put back. Times are of one monotonic clock.
 */
export class DriftHandler {
  readonly #parts: DriftHandlerParts;
  readonly #backoff = new RepairBackoff(PACE);
  /** When the unit was not active for the first time. */
  #idleSince: number | undefined;
  #wrongSince: number | undefined;
  /** When it was asked for, in this time in which they are wrong. */
  #requestedAt: number | undefined;
  /** The unit's last run then. */
  #runAtRequest: string | undefined;
  #wasRight = false;
  /** Something was said of it since. */
  #isTold = false;
  #isFailed = false;
  #isFight = false;
  /** That the unit is not active, since it is not. */
  #isIdleTold = false;
  #problem: string | undefined;
  #leftAlone: ReadonlySet<string> | undefined;

  constructor(parts: DriftHandlerParts) {
    this.#parts = parts;
  }

  /** The pause until the next look. Undefined: there is nothing to look at. */
  onCheck(
    check: SettingsCheck | undefined,
    run: string | undefined,
    now: number,
    leftByRun: readonly string[] = [],
  ): number {
    const { absent, leftAlone, present } = check ?? { absent: [], leftAlone: [], present: 0 };
    this.#problem = undefined;
    this.#tellLeftAlone(leftAlone);
    this.#idleSince = run === undefined ? (this.#idleSince ?? now) : undefined;
    if (run !== undefined) this.#isIdleTold = false;
    const hasRun =
      this.#requestedAt !== undefined && run !== undefined && run !== this.#runAtRequest;
    if (hasRun && areAllBelow(absent, leftByRun)) {
      // It has run, and could do nothing: nobody has changed anything again.
      this.#runAtRequest = run;
      this.#requestedAt = now - ANSWER_MS;
    }
    const pauseMs =
      absent.length === 0 ? this.#onDesiredState(now) : this.#onDrift(absent, run, now);
    this.#show({
      present,
      absent: absent.length,
      left_alone: leftAlone.length,
      failed: this.#isFailed ? 1 : 0,
    });
    this.#wasRight ||= present > 0 && absent.length === 0;
    return pauseMs;
  }

  /** It cannot be said how they are. */
  onFailedCheck(error: unknown, now: number): number {
    const problem = messageOf(error);
    const isNew = problem !== this.#problem;
    if (isNew) {
      this.#tell('cannot see whether the mirror settings are as wanted', { problem });
    }
    this.#problem = problem;
    this.#wrongSince ??= now;
    this.#show({ failed: 1 });
    // A change of the files is looked at before.
    return isNew ? LOOK_MS : PACE.maxMs;
  }

  #show(counts: Readonly<Record<string, number>>): void {
    for (const [state, count] of Object.entries(counts)) this.#parts.gauge.set({ state }, count);
  }

  #onDesiredState(now: number): number {
    if (this.#isTold) {
      const seconds = Math.round((now - (this.#wrongSince ?? now)) / 1_000);
      this.#parts.log.info('the mirror settings are as wanted again', { seconds });
    }
    this.#isTold = false;
    this.#wrongSince = undefined;
    this.#requestedAt = undefined;
    this.#isFailed = false;
    return LOOK_MS;
  }

  #onDrift(absent: readonly string[], run: string | undefined, now: number): number {
    const { repairs } = this.#parts;
    const isNew = this.#wrongSince === undefined;
    this.#wrongSince ??= now;
    const files = named(absent);
    if (repairs === undefined) {
      if (isNew && this.#wasRight) {
        this.#tell("the mirror settings are not as wanted; run 'spegel configuration'", { files });
      }
      return LOOK_MS;
    }
    const idleMs = now - (this.#idleSince ?? now);
    if (run === undefined && idleMs < UNIT_START_MS) return UNIT_START_MS - idleMs;
    // It has run since: they were put back, and somebody has changed them again.
    if (run !== this.#runAtRequest) {
      this.#requestedAt = undefined;
      this.#isFailed = false;
    }
    if (this.#requestedAt !== undefined) {
      const leftMs = this.#requestedAt + ANSWER_MS - now;
      if (leftMs > 0) return leftMs;
      this.#tellFailure(files, run !== undefined);
    }
    const { waitMs, isNew: isFirst } = this.#backoff.onDrift(now);
    if (isFirst) this.#isFight = false;
    if (waitMs > 0) return Math.min(waitMs, LOOK_MS);
    this.#requestRepair(files, run, now);
    return ANSWER_MS;
  }

  #requestRepair(files: readonly string[], run: string | undefined, now: number): void {
    // A unit that is not active has written nothing that somebody could have changed.
    const isAgain =
      run !== undefined && this.#backoff.requests > 0 && this.#requestedAt === undefined;
    this.#backoff.onRequest(now);
    const pause = `${this.#backoff.pauseMs / 1_000}s`;
    if (isAgain && !this.#isFight) {
      this.#isFight = true;
      const text = 'the mirror settings were changed again: another program writes there';
      this.#tell(`${text}; they are put back after growing pauses`, { files, next: pause });
    } else if (this.#backoff.requests === 1 && run !== undefined) {
      this.#tell('the mirror settings are not as wanted; systemd is to put them back', { files });
    }
    this.#requestedAt = now;
    this.#runAtRequest = run;
    this.#parts.repairs?.request();
  }

  #tellFailure(files: readonly string[], isInForce: boolean): void {
    if (this.#isFailed) return;
    this.#isFailed = isInForce;
    if (isInForce) {
      this.#tell('the mirror settings could not be put back', { files, see: HINT });
    } else if (!this.#isIdleTold) {
      this.#isIdleTold = true;
      const text = 'containerd is not told to ask this host: spegel-configuration is not active';
      this.#parts.log.info(text, { see: HINT });
    }
  }

  #tell(message: string, fields: LogFields): void {
    this.#isTold = true;
    this.#parts.log.warn(message, fields);
  }

  /** What was so at the first look, configuration has named itself. */
  #tellLeftAlone(leftAlone: SettingsCheck['leftAlone']): void {
    const former = this.#leftAlone;
    this.#leftAlone = new Set(leftAlone.map(({ path }) => path));
    if (former === undefined) return;
    const added = leftAlone.filter(({ path }) => !former.has(path));
    for (const { path, message } of added.slice(0, MAX_NAMED)) {
      this.#parts.log.warn('a hosts.toml is left alone now', { path, problem: message });
    }
  }
}

function areAllBelow(paths: readonly string[], places: readonly string[]): boolean {
  return paths.every((path) => places.some((place) => `${path}/`.startsWith(`${place}/`)));
}

function named(paths: readonly string[]): readonly string[] {
  if (paths.length <= MAX_NAMED) return paths;
  return [...paths.slice(0, MAX_NAMED), `and ${paths.length - MAX_NAMED} more`];
}
