import { DigestAssignment } from '../../lib/tracker/assignment.ts';
import type { StripeWidth } from '../../lib/tracker/stripe-rule.ts';
import { StripedAssignment } from '../../lib/tracker/striped-assignment.ts';
import { type Case, hostsOf, LIMIT_MS, play, type Result, resultOf, WINNER } from './cases.ts';
import { Simulation } from './simulation.ts';
import { StripedSimulation } from './striped-simulation.ts';

const MIB = 1024 * 1024;

/** How a body is dealt to stripes; sizes in bytes, times in milliseconds. */
export interface StripedRule {
  readonly name: string;
  /** 0: one source for a body, as today. */
  readonly stripes: number;
  readonly chunk?: number;
  readonly piece?: number;
  readonly width?: StripeWidth;
  readonly firstReportMs?: number;
  /** Undefined: the tracker judges by reports which hosts are slow. */
  readonly resignMs?: number;
}

const QUICK = { firstReportMs: 300, resignMs: 500 } as const;

export const STRIPED_RULES: readonly StripedRule[] = [
  { name: 'today', stripes: 0 },
  { name: '4 stripes', stripes: 4, ...QUICK },
  { name: '2 stripes', stripes: 2, ...QUICK },
  { name: '3 stripes', stripes: 3, ...QUICK },
  { name: '4, first report as today', stripes: 4, resignMs: 500 },
  { name: '4, the tracker finds the slow', stripes: 4, firstReportMs: 300 },
  { name: '4, whole chunks of 1 MiB', stripes: 4, ...QUICK, piece: MIB },
  { name: '4, 5 children', stripes: 4, ...QUICK, width: { children: 5, rootChildren: 1 } },
];

/** Plays a case by a rule; `hop` in milliseconds. */
export function playStriped(
  which: Case,
  layers: readonly number[],
  rule: StripedRule,
  hop: number,
): Result {
  const { name: _, stripes, width: wide, ...options } = rule;
  if (stripes === 0) return play(which, layers, WINNER, hop);
  const width = wide ?? { children: stripes, rootChildren: 1 };
  const hosts = hostsOf(which);
  const common = { upstream: which.upstream, layers, hop };
  const outcome = new StripedSimulation({
    ...common,
    chunk: MIB,
    piece: MIB / 16,
    ...options,
    hosts,
    stripes,
    providers: which.providers ?? [],
    newAssignment: () => new StripedAssignment(stripes, width),
  }).run(LIMIT_MS);
  const single = [{ up: which.link, down: which.link, start: 0 }];
  const newAssignment = () => new DigestAssignment();
  const { took } = new Simulation({ ...common, hosts: single, newAssignment }).run(LIMIT_MS);
  return resultOf(which, hosts, outcome, took[0] ?? 0);
}
