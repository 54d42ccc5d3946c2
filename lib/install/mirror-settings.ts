import type { ConfigurationSettings } from '../hosts/mirror-wishes.ts';
import { configureMirrors } from '../hosts/mirrors.ts';
import { isContainerd2 } from '../hosts/waking.ts';

/**
 * The settings with the version of the containerd at this socket, which is asked only where the
 * outcome depends on it. Where none answers, what the unit has learnt of it at its last run counts,
 * `recorded`; without that nothing is known: what would do harm with 1.x is left.
 */
export async function withContainerdVersion(
  settings: ConfigurationSettings,
  hostsPaths: readonly string[],
  socket: string,
  signal: AbortSignal,
  isGlance = false,
  recorded?: boolean,
): Promise<ConfigurationSettings> {
  if (settings.isContainerd2 !== undefined) return settings;
  const { problems } = await configureMirrors(hostsPaths, settings, {
    signal,
    isDryRun: true,
    isGlance,
  });
  if (!problems.some(({ dependsOnVersion }) => dependsOnVersion)) return settings;
  // What gRPC needs takes a while to load.
  const { containerdVersion } = await import('../containerd/version.ts');
  const version = await containerdVersion(socket, signal);
  return { ...settings, isContainerd2: isContainerd2(version) ?? recorded };
}
