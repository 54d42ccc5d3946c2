/** A fleet in the middle of an upgrade: half of the hosts run the release before this one. */
import type { TestContext } from 'node:test';
import { FORMER_EXECUTABLE } from '../programs/former-release.ts';
import { Lab, type LabHost, type LabOptions } from './lab.ts';
import type { SpegelOptions } from './spegel.ts';

export interface MixedFleet {
  readonly lab: Lab;
  /** The hosts with the release before. */
  readonly former: readonly LabHost[];
  /** Those with this one. */
  readonly current: readonly LabHost[];
}

/** Every other host runs the release before; `currentOptions` are for the others alone. */
export async function mixedFleet(
  t: TestContext,
  options: Omit<LabOptions, 'spegel'>,
  spegel: SpegelOptions = {},
  currentOptions: SpegelOptions = {},
): Promise<MixedFleet> {
  const lab = await Lab.create(options, t);
  const former = lab.hosts.filter((_, index) => index % 2 === 0);
  const current = lab.hosts.filter((_, index) => index % 2 === 1);
  // One half after the other: all at once are too much for two cores.
  await lab.startSpegel({ ...spegel, program: [FORMER_EXECUTABLE] }, former);
  await lab.startSpegel({ ...spegel, ...currentOptions }, current);
  return { lab, former, current };
}

/** The id by which its peers know this host. */
export async function peerIdOf(host: LabHost): Promise<string> {
  const line = (await host.spegel.logs()).findLast(({ msg }) => msg === 'router listens');
  // A former release names it so.
  return String(line?.peer ?? line?.peerId);
}
