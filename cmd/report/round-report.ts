import { formatHostPort } from '../../lib/base/address.ts';
import type { ProbeRound } from '../../lib/cleanup-wait/probe-rounds.ts';
import type { MissingHost } from '../../lib/cleanup-wait/probe-targets.ts';
import { MAX_NAMED_HOSTS, QUIET_MS } from './constants.ts';

/** What `cleanup-wait` prints while it waits. */
export interface RoundReport {
  round(round: ProbeRound): void;
  /** The wait is over. `reason`: what ended it; undefined: every host answered. */
  end(last: ProbeRound, reason: string | undefined): void;
  /** Ends the report. Idempotent. */
  close(): void;
}

type Print = (text: string) => void;

/** Prints a line when the missing hosts change, and repeats the last line after 10 s of silence. */
export function textReport(threshold: number, print: Print): RoundReport {
  let line = 'round 1 is still going on';
  let missing: string | undefined;
  const timer = setInterval(() => print(`${line}\n`), QUIET_MS);
  return {
    round(round) {
      line = `round ${round.round}: ${describeRound(round, threshold)}`;
      const before = missing;
      missing = JSON.stringify(round.missing);
      if (missing === before) return;
      print(`${line}\n`);
      timer.refresh();
    },
    end({ answered, consecutive }, reason) {
      if (reason !== undefined) return;
      print(`done: all ${answered} answered, ${consecutive} of ${threshold} rounds in a row\n`);
    },
    close: () => clearInterval(timer),
  };
}

/** Prints one JSON object per line: each round, then the result. */
export function jsonReport(threshold: number, print: Print): RoundReport {
  const printObject = (object: object) => print(`${JSON.stringify(object)}\n`);
  return {
    round: (round) => printObject(fieldsOf(round, threshold)),
    end: (last, reason) => {
      const outcome = reason === undefined ? { done: true } : { done: false, reason };
      printObject({ ...outcome, ...fieldsOf(last, threshold) });
    },
    close: () => {},
  };
}

function fieldsOf({ round, answered, total, missing, consecutive }: ProbeRound, threshold: number) {
  const missingFields = missing.map(({ host, port, reason }) => {
    return { address: formatHostPort(host, port), reason };
  });
  return { round, answered, total, missing: missingFields, consecutive, threshold };
}

/** `10 of 12 answered, missing 10.0.0.7 (connection refused), …; 0 of 3 rounds in a row`. */
export function describeRound(round: ProbeRound, threshold: number): string {
  const { answered, total, missing, consecutive } = round;
  const who = missing.length === 0 ? '' : `, missing ${describeMissing(missing)}`;
  return `${answered} of ${total} answered${who}; ${consecutive} of ${threshold} rounds in a row`;
}

function describeMissing(missing: readonly MissingHost[]): string {
  // The user gave one port: it need not be repeated. Several ports tell the hosts apart.
  const hasOnePort = new Set(missing.map(({ port }) => port)).size === 1;
  const named = missing.slice(0, MAX_NAMED_HOSTS).map(({ host, port, reason }) => {
    return `${hasOnePort ? host : formatHostPort(host, port)} (${reason})`;
  });
  const more = missing.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
