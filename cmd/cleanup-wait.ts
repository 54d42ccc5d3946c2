import { formatDuration } from '../lib/base/duration.ts';
import { SpegelError } from '../lib/base/errors.ts';
import { isLogged } from '../lib/base/log.ts';
import type { ProbeRound } from '../lib/cleanup-wait/probe-rounds.ts';
import { COMMON_OPTIONS } from './options/common-options.ts';
import { list, optional, single, toggle, type ValuesOf } from './options/option.ts';
import { parseProbeEndpoint } from './options/probe-endpoint.ts';
import { readOptions } from './options/read-options.ts';
import { durationBetween, integerBetween } from './options/values.ts';
import type { Command, ProcessEvents } from './process/command.ts';
import { describeRound, jsonReport, textReport } from './report/round-report.ts';

const HOUR_MS = 3_600_000;
const WAITING = 'Waiting:';

const probeEndpoint = list({
  flag: '--probe-endpoint',
  placeholder: 'name:port',
  group: WAITING,
  help: "where the hosts' `spegel cleanup --addr` answers; all addresses of each name are asked; a host without port takes the last one's",
  parse: (text) => text,
});

/** Options of `spegel cleanup-wait`, named as in Go Spegel where that has them. */
export const CLEANUP_WAIT_OPTIONS = {
  probeEndpoint: {
    ...probeEndpoint,
    // The port of an entry may come from another one: all texts are parsed together.
    parse: (texts: readonly string[]) =>
      texts.some((text) => text.trim() !== '') ? parseProbeEndpoint(texts.join(',')) : [],
  },
  threshold: single({
    flag: '--threshold',
    placeholder: 'count',
    group: WAITING,
    help: 'rounds in a row in which all must answer',
    fallback: '3',
    parse: integerBetween(1, 1_000),
  }),
  period: single({
    flag: '--period',
    placeholder: 'duration',
    group: WAITING,
    help: 'from the start of a round to the start of the next one',
    fallback: '2s',
    parse: durationBetween(10, HOUR_MS),
  }),
  timeout: optional({
    flag: '--timeout',
    placeholder: 'duration',
    group: WAITING,
    help: 'give up after that long, with status 1; for ever unless given',
    parse: durationBetween(1, 7 * 24 * HOUR_MS),
  }),
  json: toggle({
    flag: '--json',
    group: WAITING,
    help: 'print one JSON object per round instead of text',
    fallback: 'false',
    env: undefined,
  }),
  ...COMMON_OPTIONS,
} as const;

type CleanupWaitValues = ValuesOf<typeof CLEANUP_WAIT_OPTIONS>;

/**
 * Returns status 0 when every host answers; otherwise rejects with SpegelError ERR_CLEANUP_WAIT,
 * which names the missing hosts.
 */
export const cleanupWaitCommand: Command = {
  name: 'cleanup-wait',
  summary: 'wait until all hosts are cleaned up',
  options: CLEANUP_WAIT_OPTIONS,
  async run(given, context) {
    const values = readOptions(CLEANUP_WAIT_OPTIONS, given, context.env);
    const { probeEndpoint: endpoints, threshold, period, timeout, json } = values;
    if (endpoints.length === 0) {
      throw new SpegelError('ERR_USAGE', '--probe-endpoint: expected name:port, got none');
    }
    const { probeRounds } = await import('../lib/cleanup-wait/probe-rounds.ts');
    const isQuiet = !json && !isLogged('INFO', values.logLevel);
    const report = (json ? jsonReport : textReport)(threshold, isQuiet ? () => {} : context.stdout);
    const stop = stopAt(context.events, timeout);
    try {
      let last = NO_ROUND;
      const settings = { endpoints, path: '/healthz', threshold, periodMs: period };
      for await (const round of probeRounds(settings, stop.signal)) {
        report.round(round);
        last = round;
      }
      const cause = last.consecutive === threshold ? undefined : stop.cause();
      report.end(last, cause);
      if (cause === undefined) return 0;
      throw new SpegelError('ERR_CLEANUP_WAIT', problemOf(last, cause, values));
    } finally {
      stop.close();
      report.close();
    }
  },
};

/** The last round of a wait that was stopped before its first one. */
const NO_ROUND: ProbeRound = { round: 0, answered: 0, total: 0, missing: [], consecutive: 0 };

type Cause = 'timeout' | 'SIGTERM' | 'SIGINT';

/** A signal that is aborted after a timeout in milliseconds, or by SIGTERM or SIGINT. */
function stopAt(events: ProcessEvents, timeoutMs: number | undefined) {
  const controller = new AbortController();
  let cause: Cause = 'timeout';
  const stop = (by: Cause) => () => {
    if (!controller.signal.aborted) cause = by;
    controller.abort();
  };
  const onTerm = stop('SIGTERM');
  const onInt = stop('SIGINT');
  const timer = timeoutMs === undefined ? undefined : setTimeout(stop('timeout'), timeoutMs);
  events.on('SIGTERM', onTerm);
  events.on('SIGINT', onInt);
  return {
    signal: controller.signal,
    cause: () => cause,
    close() {
      clearTimeout(timer);
      events.off('SIGTERM', onTerm);
      events.off('SIGINT', onInt);
    },
  };
}

function problemOf(last: ProbeRound, cause: Cause, values: CleanupWaitValues): string {
  const { threshold, period, timeout = 0 } = values;
  const got = `after round ${last.round}: ${describeRound(last, threshold)}`;
  if (cause !== 'timeout') return `expected to wait until all hosts answer, got ${cause} ${got}`;
  const leastMs = (threshold - 1) * period;
  const advice =
    last.missing.length > 0
      ? 'look at the missing hosts, or wait longer with --timeout'
      : `${threshold} rounds take at least ${formatDuration(leastMs)}, wait longer with --timeout`;
  return `expected all hosts to answer within ${formatDuration(timeout)}, got ${got}; ${advice}`;
}
