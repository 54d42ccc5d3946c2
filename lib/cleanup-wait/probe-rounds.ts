import { delay } from '../base/abortable.ts';
import type { HostPort } from '../base/address.ts';
import { MAX_CONCURRENT_PROBES } from './constants.ts';
import { probe } from './probe.ts';
import { type MissingHost, ProbeTargets, type ResolveHost } from './probe-targets.ts';

/** The result of one round over all hosts. */
export interface ProbeRound {
  /** From 1. */
  readonly round: number;
  readonly answered: number;
  /** Addresses that were asked, and names without an address. */
  readonly total: number;
  /** In the order of their addresses, so that two rounds can be compared. */
  readonly missing: readonly MissingHost[];
  /** Rounds in a row, up to this one, in which all answered yes. */
  readonly consecutive: number;
}

export interface ProbeRoundsSettings {
  /** Names and IP addresses; names are resolved anew in each round. */
  readonly endpoints: readonly HostPort[];
  /** The path of the GET for each address. */
  readonly path: string;
  /** The rounds end after so many in a row in which all answered yes. */
  readonly threshold: number;
  /**
   * From the start of a round to the start of the next one; a round that takes longer ends first.
   */
  readonly periodMs: number;
  /** Default: the system's resolver; tests give their own. */
  readonly resolve?: ResolveHost;
}

/**
 * Probes all hosts round after round, until all answered yes in `threshold` rounds in a row, or the
 * signal is aborted. A round that the abort cut short is left out, unless it is the first one,
 * which is all that is known then. Never throws; leaves no timer, socket or listener.
 */
export async function* probeRounds(
  settings: ProbeRoundsSettings,
  signal: AbortSignal,
): AsyncGenerator<ProbeRound, void, undefined> {
  const { endpoints, path, threshold, periodMs, resolve } = settings;
  const probeTargets = new ProbeTargets(endpoints, resolve);
  let consecutive = 0;
  for (let round = 1; consecutive < threshold && !signal.aborted; round++) {
    const startedAt = performance.now();
    const { targets, missing: unresolved } = await probeTargets.find(signal);
    const silent = await probeAll(targets, path, signal);
    const missing = [...unresolved, ...silent].sort(byAddress);
    if (signal.aborted && missing.length > 0 && round > 1) return;
    consecutive = missing.length === 0 ? consecutive + 1 : 0;
    const total = targets.length + unresolved.length;
    yield { round, answered: total - missing.length, total, missing, consecutive };
    if (consecutive === threshold) return;
    // Aborted while waiting: the loop ends.
    const waitMs = startedAt + periodMs - performance.now();
    await delay(Math.max(0, waitMs), signal).catch(() => {});
  }
}

/** The targets that did not answer yes. */
async function probeAll(
  targets: readonly HostPort[],
  path: string,
  signal: AbortSignal,
): Promise<readonly MissingHost[]> {
  const missing: MissingHost[] = [];
  // All workers take from this one iterator.
  const rest = targets.values();
  const work = async () => {
    for (const target of rest) {
      const reason = await probe(target, path, signal);
      if (reason !== undefined) missing.push({ ...target, reason });
    }
  };
  await Promise.all(Array.from({ length: MAX_CONCURRENT_PROBES }, work));
  return missing;
}

/** Sorts 10.0.0.9 before 10.0.0.10. */
const collator = new Intl.Collator('en', { numeric: true });

function byAddress(a: MissingHost, b: MissingHost): number {
  return collator.compare(a.host, b.host) || a.port - b.port;
}
