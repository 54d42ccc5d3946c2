import { delay, untilAborted } from '../base/abortable.ts';
import { DirectoryWatcher } from '../base/directory-watcher.ts';
import type { Part } from '../base/lifecycle.ts';
import { TimeBudget } from '../base/time-budget.ts';
import { DriftHandler, type DriftHandlerParts } from './drift-handler.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { SettingsCheck, SettingsToCheck } from './settings-check.ts';

export interface SettingsWatchParts extends DriftHandlerParts {
  /**
   * What is to be looked at now; may be another thing at each look. Throws for settings that are
   * wrong.
   */
  readonly settingsToCheck: () => SettingsToCheck;
}

/**
 * What looking may cost: a program that writes beside the settings all day is looked at all day. At
 * once: some looks of a host with few registries.
 */
export const CHECK_BUDGET = { share: 0.04, burstMs: 1_000 } as const;

/** So long no directory has told of a change: somebody has come to the end of writing. */
const SETTLE_MS = 1_000;
/** Somebody who writes all the time is looked at all the same. */
const MAX_SETTLE_MS = 5_000;
/** How often a look that found something missing begins anew since files changed under it. */
const MAX_TRIES = 2;

/**
 * Watches that containerd's settings stay as `spegel configuration` wants them: by directory
 * watches, which may miss something, and by a look now and then. What a look costs is another
 * process' matter, and only where a file has changed.
 */
export class SettingsWatch implements Part {
  readonly #parts: SettingsWatchParts;
  readonly #driftHandler: DriftHandler;
  readonly #watcher: DirectoryWatcher;
  readonly #budget = new TimeBudget(CHECK_BUDGET);
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #seen: { readonly text: string; readonly check: SettingsCheck } | undefined;
  /** What was there when the watches were set. */
  #watchedAt: string | undefined;
  #isChanged = false;
  #wake = () => {};

  constructor(parts: SettingsWatchParts) {
    this.#parts = parts;
    this.#driftHandler = new DriftHandler(parts);
    const onChange = () => {
      this.#isChanged = true;
      this.#wake();
    };
    this.#watcher = new DirectoryWatcher(onChange, parts.log);
  }

  async start(): Promise<void> {
    this.#running = this.#run(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the watch of the mirror settings was stopped'));
    await this.#running;
    this.#parts.repairs?.withdraw();
  }

  async #run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        const pauseMs = await this.#checkOnce(signal);
        await this.#untilDue(pauseMs, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#watcher.close();
    }
  }

  /** Looks once. Gives after how many milliseconds to look again at the latest. */
  async #checkOnce(signal: AbortSignal): Promise<number> {
    this.#isChanged = false;
    const now = performance.now();
    try {
      const settings = this.#parts.settingsToCheck();
      const check = await this.#check(settings, signal);
      return this.#driftHandler.onCheck(check, settings.run, now, settings.leftByRun);
    } catch (error) {
      signal.throwIfAborted();
      return this.#driftHandler.onFailedCheck(error, now);
    }
  }

  /** One that fails costs what it lasted: it may have waited for a disk. */
  async #checkAnew(settings: SettingsToCheck, signal: AbortSignal): Promise<SettingsCheck> {
    const began = performance.now();
    let costMs: number | undefined;
    try {
      const check = await settings.check(signal);
      costMs = check.cpuMs;
      return check;
    } finally {
      const now = performance.now();
      this.#budget.spend(costMs ?? now - began, now);
    }
  }

  /** Undefined: there are no settings of ours, and nobody said that there should be. */
  async #check(settings: SettingsToCheck, signal: AbortSignal): Promise<SettingsCheck | undefined> {
    const { roots, files, run } = settings;
    let before = await this.#fingerprint(roots, files, signal);
    for (let tries = 1; ; tries += 1) {
      const isByHand = run === undefined && this.#parts.repairs === undefined;
      if (isByHand && !before.hasJournal && this.#seen === undefined) return undefined;
      if (this.#seen?.text === before.text) return this.#seen.check;
      const check = await this.#checkAnew(settings, signal);
      const after = await this.#fingerprint(roots, files, signal);
      // A run of configuration that was seen half done says nothing.
      const isWhole = after.text === before.text || check.absent.length === 0;
      if (isWhole || tries === MAX_TRIES) {
        // What has changed since is another text, and looked at the next time.
        this.#seen = { text: before.text, check };
        return check;
      }
      before = after;
    }
  }

  async #fingerprint(roots: readonly string[], files: readonly string[], signal: AbortSignal) {
    const [began, cpu] = [performance.now(), process.cpuUsage()];
    try {
      return await this.#watched(roots, files, signal);
    } finally {
      const [now, { user, system }] = [performance.now(), process.cpuUsage(cpu)];
      // Pulls go on meanwhile, and have their part in it.
      this.#budget.spend(Math.min((user + system) / 1_000, now - began), now);
    }
  }

  async #watched(roots: readonly string[], files: readonly string[], signal: AbortSignal) {
    const before = await untilAborted(fingerprintOf(roots, files), signal);
    if (before.text === this.#watchedAt) return before;
    this.#watchedAt = before.text;
    // First watch, then look: a change between the two is noticed then.
    await untilAborted(this.#watcher.refresh(before.directories), signal);
    return untilAborted(fingerprintOf(roots, files), signal);
  }

  async #untilDue(pauseMs: number, signal: AbortSignal): Promise<void> {
    // A program that writes there all the time wakes us all the time.
    const waitMs = this.#budget.waitMs(performance.now());
    await delay(waitMs, signal);
    if (!this.#isChanged && pauseMs > waitMs) {
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      await delay(pauseMs - waitMs, AbortSignal.any([signal, woken.signal])).catch(() => {});
      this.#wake = () => {};
    }
    const began = performance.now();
    while (this.#isChanged && performance.now() - began < MAX_SETTLE_MS) {
      this.#isChanged = false;
      await delay(SETTLE_MS, signal);
    }
  }
}
