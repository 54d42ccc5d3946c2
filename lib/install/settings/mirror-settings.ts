import { type ConfigurationSettings, isContainerd2 } from '../../hosts/configuration-settings.ts';
import { configureMirrors, type RunOptions } from '../../hosts/mirrors.ts';
import type { HostsOutcome } from '../../hosts/outcome.ts';

/** Where to learn the version of containerd. */
export interface VersionSource {
  readonly socket: string;
  /**
   * What the configuration unit learned in its last run. It counts if containerd does not answer.
   */
  readonly recorded?: boolean | undefined;
}

/**
 * The settings with the version of containerd. containerd is asked only if the outcome depends on
 * it. If the version stays unknown, nothing is written that would harm a 1.x.
 */
export async function withContainerdVersion(
  settings: ConfigurationSettings,
  hostsPaths: readonly string[],
  source: VersionSource,
  options: RunOptions,
): Promise<ConfigurationSettings> {
  if (settings.isContainerd2 !== undefined) return settings;
  const outcome = await configureMirrors(hostsPaths, settings, { ...options, isDryRun: true });
  return withLearnedVersion(settings, outcome, source, options.signal);
}

/** What `configureMirrors` would do with the settings that `withContainerdVersion` returns. */
export async function dryRunMirrors(
  settings: ConfigurationSettings,
  hostsPaths: readonly string[],
  source: VersionSource,
  options: RunOptions,
): Promise<HostsOutcome> {
  const look = (known: ConfigurationSettings) =>
    configureMirrors(hostsPaths, known, { ...options, isDryRun: true });
  const outcome = await look(settings);
  const known = await withLearnedVersion(settings, outcome, source, options.signal);
  return known === settings ? outcome : look(known);
}

/** Returns the same settings if this outcome does not depend on the version. */
async function withLearnedVersion(
  settings: ConfigurationSettings,
  { problems }: HostsOutcome,
  { socket, recorded }: VersionSource,
  signal: AbortSignal,
): Promise<ConfigurationSettings> {
  const isUnknown = settings.isContainerd2 === undefined;
  if (!isUnknown || !problems.some(({ dependsOnVersion }) => dependsOnVersion)) return settings;
  // gRPC takes a while to load.
  const { containerdVersion } = await import('../../containerd/version.ts');
  const version = await containerdVersion(socket, signal);
  return { ...settings, isContainerd2: isContainerd2(version) ?? recorded };
}
