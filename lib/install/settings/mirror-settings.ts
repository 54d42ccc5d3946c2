import { isContainerd2 } from '../../hosts/containerd-version.ts';
import type { ConfigurationSettings } from '../../hosts/desired-state.ts';
import { configureMirrors, type RunOptions } from '../../hosts/mirrors.ts';
import type { HostsOutcome } from '../../hosts/outcome.ts';

/** Where the version of containerd is learnt. */
export interface VersionSource {
  readonly socket: string;
  /** What the unit has learnt of it at its last run: it counts where none answers. */
  readonly recorded?: boolean | undefined;
}

/**
 * The settings with the version of containerd, which is asked only where the outcome depends on it.
 * Where nothing is known of it, what would do harm with 1.x is left.
 */
export async function withContainerdVersion(
  settings: ConfigurationSettings,
  hostsPaths: readonly string[],
  source: VersionSource,
  options: RunOptions,
): Promise<ConfigurationSettings> {
  if (settings.isContainerd2 !== undefined) return settings;
  const outcome = await configureMirrors(hostsPaths, settings, { ...options, isDryRun: true });
  return learnt(settings, outcome, source, options.signal);
}

/** What `configureMirrors` would do with the settings that `withContainerdVersion` gives. */
export async function dryRunMirrors(
  settings: ConfigurationSettings,
  hostsPaths: readonly string[],
  source: VersionSource,
  options: RunOptions,
): Promise<HostsOutcome> {
  const look = (known: ConfigurationSettings) =>
    configureMirrors(hostsPaths, known, { ...options, isDryRun: true });
  const outcome = await look(settings);
  const known = await learnt(settings, outcome, source, options.signal);
  return known === settings ? outcome : look(known);
}

/** The same settings where this outcome does not depend on the version. */
async function learnt(
  settings: ConfigurationSettings,
  { problems }: HostsOutcome,
  { socket, recorded }: VersionSource,
  signal: AbortSignal,
): Promise<ConfigurationSettings> {
  const isOpen = settings.isContainerd2 === undefined;
  if (!isOpen || !problems.some(({ dependsOnVersion }) => dependsOnVersion)) return settings;
  // What gRPC needs takes a while to load.
  const { containerdVersion } = await import('../../containerd/version.ts');
  const version = await containerdVersion(socket, signal);
  return { ...settings, isContainerd2: isContainerd2(version) ?? recorded };
}
