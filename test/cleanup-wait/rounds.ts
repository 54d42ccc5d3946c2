import {
  type ProbeRound,
  type ProbeRoundsSettings,
  probeRounds,
} from '../../lib/cleanup-wait/probe-rounds.ts';
import { endpoint } from '../support/probe-hosts.ts';

const never = new AbortController().signal;

/** Settings for the hosts, `host:port` each, with a period that no test has to wait for. */
export function settingsFor(
  addresses: readonly string[],
  more: Partial<ProbeRoundsSettings> = {},
): ProbeRoundsSettings {
  const endpoints = addresses.map(endpoint);
  return { endpoints, path: '/healthz', threshold: 3, periodMs: 10, ...more };
}

export async function allRounds(
  settings: ProbeRoundsSettings,
  signal = never,
): Promise<ProbeRound[]> {
  const rounds: ProbeRound[] = [];
  for await (const round of probeRounds(settings, signal)) rounds.push(round);
  return rounds;
}

/** `host: reason` of each that is missing. */
export const reasons = ({ missing }: ProbeRound) =>
  missing.map(({ host, reason }) => `${host}: ${reason}`);
