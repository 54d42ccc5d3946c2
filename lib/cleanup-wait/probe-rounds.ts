import { delay } from '../base/abortable.ts';
import type { HostPort } from '../base/address.ts';
import { probe } from './probe.ts';
import { type MissingHost, ProbeTargets, type ResolveHost } from './probe-targets.ts';

/** What one round over all hosts has shown. */
export interface ProbeRound {
  /** From 1. */
  readonly round: number;
  readonly answered: number;
  /** Addresses that were asked, and names that have none. */
  readonly total: number;
  /** In the order of their addresses, so that two rounds can be compared. */
  readonly missing: readonly MissingHost[];
  /** Rounds in a row, up to this one, in which all answered. */
  readonly consecutive: number;
}

export interface ProbeRoundsSettings {
  /** Names and IP addresses; names are resolved anew in each round. */
  readonly endpoints: readonly HostPort[];
  /** Of the GET that each address gets. */
  readonly path: string;
  /** The rounds end after so many in a row in which all answered. */
  readonly threshold: number;
  /** From the start of a round to the start of the next one, which waits for a round that takes longer. */
  readonly periodMs: number;
  /** The system's resolver unless a test brings its own. */
  readonly resolve?: ResolveHost;
}

/** Addresses that are probed at once. Go Spegel's limit. */
const MAX_PROBES = 10;

/**
 * Probes all hosts round after round, until `threshold` rounds in a row had an answer from each or the signal
 * is aborted. A round that the abort cut short is left out, unless it is the first: then it is all that is
 * known. Never throws; no timer, socket or listener outlives it.
 */
export async function* probeRounds(
  settings: ProbeRoundsSettings,
  signal: AbortSignal,
): AsyncGenerator<ProbeRound, void, undefined> {
  const { endpoints, path, threshold, periodMs, resolve } = settings;
  const where = new ProbeTargets(endpoints, resolve);
  let consecutive = 0;
  for (let round = 1; consecutive < threshold && !signal.aborted; round++) {
    const startedAt = performance.now();
    const { targets, missing: unresolved } = await where.find(signal);
    const silent = await probeAll(targets, path, signal);
    const missing = [...unresolved, ...silent].sort(byAddress);
    if (signal.aborted && missing.length > 0 && round > 1) return;
    consecutive = missing.length === 0 ? consecutive + 1 : 0;
    const total = targets.length + unresolved.length;
    yield { round, answered: total - missing.length, total, missing, consecutive };
    if (consecutive === threshold) return;
    // Aborted while waiting: the loop ends.
    const restMs = startedAt + periodMs - performance.now();
    await delay(Math.max(0, restMs), signal).catch(() => {});
  }
}

/** Those of the targets that did not answer. */
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
  await Promise.all(Array.from({ length: MAX_PROBES }, work));
  return missing;
}

/** 10.0.0.9 comes before 10.0.0.10. */
const collator = new Intl.Collator('en', { numeric: true });

function byAddress(a: MissingHost, b: MissingHost): number {
  return collator.compare(a.host, b.host) || a.port - b.port;
}
