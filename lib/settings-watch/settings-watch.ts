import { delay, untilAborted } from '../base/abortable.ts';
import { DirectoryWatcher } from '../base/directory-watcher.ts';
import type { Part } from '../base/lifecycle.ts';
import { TimeBudget } from '../base/time-budget.ts';
import { CHECK_BUDGET, MAX_CHECKS_IN_A_ROW, MAX_SETTLE_MS, SETTLE_MS } from './constants.ts';
import { DriftHandler, type DriftHandlerParts } from './drift-handler.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { SettingsCheck, SettingsToCheck } from './settings-check.ts';

export interface SettingsWatchParts extends DriftHandlerParts {
  /**
   * The settings to check now; they may differ at each check. Throws for settings that are wrong.
   */
  readonly settingsToCheck: () => SettingsToCheck;
}

/**
 * Watches that containerd's settings stay in the desired state: by directory watches, which may
 * miss a change, and by a check now and then. Another process does the check, and only where a file
 * has changed.
 */
export class SettingsWatch implements Part {
  readonly #parts: SettingsWatchParts;
  readonly #driftHandler: DriftHandler;
  readonly #watcher: DirectoryWatcher;
  readonly #budget = new TimeBudget(CHECK_BUDGET);
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #seen: { readonly text: string; readonly check: SettingsCheck } | undefined;
  /** The fingerprint when the watches were set. */
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

  /** Checks once. Returns after how many milliseconds to check again at the latest. */
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

  /**
   * Runs the check. A check that fails is charged with the time that it took: it may have waited
   * for a disk.
   */
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

  /**
   * The result of the check. Undefined: there are no settings of ours, and nothing asks for any.
   */
  async #check(settings: SettingsToCheck, signal: AbortSignal): Promise<SettingsCheck | undefined> {
    const { roots, files, run } = settings;
    let before = await this.#fingerprint(roots, files, signal);
    for (let tries = 1; ; tries += 1) {
      const isByHand = run === undefined && this.#parts.repairs === undefined;
      if (isByHand && !before.hasJournal && this.#seen === undefined) return undefined;
      if (this.#seen?.text === before.text) return this.#seen.check;
      const check = await this.#checkAnew(settings, signal);
      const after = await this.#fingerprint(roots, files, signal);
      // A run of `spegel configuration` that was seen half done tells nothing.
      const isWhole = after.text === before.text || check.absent.length === 0;
      if (isWhole || tries === MAX_CHECKS_IN_A_ROW) {
        // A change since then gives another text, and is checked the next time.
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
      // The CPU time includes that of pulls that went on meanwhile, so the elapsed time bounds it.
      this.#budget.spend(Math.min((user + system) / 1_000, now - began), now);
    }
  }

  async #watched(roots: readonly string[], files: readonly string[], signal: AbortSignal) {
    const before = await untilAborted(fingerprintOf(roots, files), signal);
    if (before.text === this.#watchedAt) return before;
    this.#watchedAt = before.text;
    // Watches before it reads: a change between the two is then noticed.
    await untilAborted(this.#watcher.refresh(before.directories), signal);
    return untilAborted(fingerprintOf(roots, files), signal);
  }

  async #untilDue(pauseMs: number, signal: AbortSignal): Promise<void> {
    // Waits for the budget first: a program that writes there all the time wakes this loop all the
    // time.
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
