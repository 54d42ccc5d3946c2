import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isLoopback, portOf } from '../base/address.ts';
import { SpegelError } from '../base/errors.ts';
import type { ConfigurationSettings } from '../hosts/mirror-wishes.ts';
import { configureMirrors } from '../hosts/mirrors.ts';
import { ownTarget } from '../port/own-target.ts';
import { strangersOn } from '../port/strangers.ts';
import { advice, type Finding, obstacle } from './finding.ts';
import type { Listener } from './host-check.ts';
import { CONFIGURATION, ENVIRONMENT_FILE } from './layout.ts';
import { withContainerdVersion } from './mirror-settings.ts';

const RESTART = `systemctl restart ${CONFIGURATION.replace(/\.service$/, '')}`;
/** As many names as a person reads. */
const MAX_NAMED = 5;

/** Whether containerd is told to ask where the registry of this host listens. */
export function targetFindings(targets: readonly string[], registry: Listener): Finding[] {
  const { option, port } = registry;
  // Port 0: the system chooses one.
  if (port === 0 || targets.some((target) => isOurs(new URL(target), registry))) return [];
  const text = `expected MIRROR_TARGETS to name the registry of this host, which ${option} puts on port ${port}, got ${targets.join(', ')}; in ${ENVIRONMENT_FILE}`;
  return [advice('mirror-targets', text, [`MIRROR_TARGETS=${ownTarget(registry) ?? ''}`, RESTART])];
}

/**
 * Targets at which containerd would meet another program than the registry of this host: its settings
 * would not be written. `pid`: of the service, 0 while it does not run.
 */
export function strangerFindings(
  targets: readonly string[],
  registry: Listener,
  pid: number,
): Finding[] {
  return (
    strangersOn(targets, { pids: pid === 0 ? [] : [pid] })
      // A port that nobody holds yet is what install has systemd hold.
      .filter(({ isThere }) => isThere)
      .filter(({ target }) => pid !== 0 || !isOurs(new URL(target), registry))
      .map((stranger) => obstacle('mirror-targets', stranger.message))
  );
}

/** A name may mean this host: nothing is said against it. */
function isOurs(url: URL, registry: Listener): boolean {
  const { hostname } = url;
  if (portOf(url) !== registry.port) return false;
  if (isIP(hostname) === 0 || isLoopback(hostname) || hostname === registry.host) return true;
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return own.some(({ address }) => address === hostname);
}

/** Whether the hosts.toml files are as the unit of the settings would leave them now. Nothing is written. */
export async function settingsFindings(
  hostsPaths: readonly string[],
  mirrors: ConfigurationSettings,
  socket: string,
  signal: AbortSignal,
): Promise<Finding[]> {
  try {
    const known = await withContainerdVersion(mirrors, hostsPaths, socket, signal);
    const { changes } = await configureMirrors(hostsPaths, known, { isDryRun: true, signal });
    if (changes.length === 0) return [];
    const named = changes.slice(0, MAX_NAMED).map(({ path }) => path);
    const more = changes.length > MAX_NAMED ? `, and ${changes.length - MAX_NAMED} more` : '';
    const text = `expected the files below ${hostsPaths.join(' and ')} to be as ${ENVIRONMENT_FILE} says, got others: ${named.join(', ')}${more}`;
    return [advice('hosts', text, [RESTART])];
  } catch (error) {
    if (signal.aborted || !(error instanceof SpegelError)) throw error;
    return [advice('hosts', error.message)];
  }
}
