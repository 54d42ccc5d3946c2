import { SpegelError } from '../base/errors.ts';
import { changedVariables, runsReplacedExecutable } from './checks/running-check.ts';
import { READY_TIMEOUT_MS } from './constants.ts';
import type { InstallFileChange } from './system/files.ts';
import { CONFIGURATION_UNIT, SERVICE_UNIT, SOCKET_UNIT } from './system/layout.ts';
import { isHeldBySystemd } from './system/socket-unit.ts';
import { isMasked, isUp, type Say, type Systemctl, type UnitState } from './system/systemctl.ts';

export interface InstallContext {
  readonly signal: AbortSignal;
  readonly say: Say;
}

/**
 * What was done about the units. Configured: the service ran, and its mirror settings were missing;
 * `enabled-again`: it ran, and was not to be started at a boot any more.
 */
export type ServiceAction = 'started' | 'restarted' | 'enabled' | 'configured' | 'enabled-again';

/** What of an installation the units have to do with. */
export interface StartRequest {
  /** False: the service is only enabled. */
  readonly start: boolean;
  readonly changes: readonly InstallFileChange[];
  /** The registry's; 0: the kernel chooses one, and systemd holds none. */
  readonly port: number;
  /** Variables of the service's options. */
  readonly names: readonly string[];
  /** Whether the hosts.toml files are as they are to be. */
  readonly areSettingsFine: () => Promise<boolean>;
}

/**
 * Has systemd run what is in place now, unless it does. Undefined: nothing was to do. Rejects with
 * SpegelError ERR_INSTALL when a unit does not come up.
 */
export async function startService(
  { start, changes, port, names, areSettingsFine }: StartRequest,
  systemctl: Systemctl,
  way: InstallContext,
): Promise<ServiceAction | undefined> {
  const was = await systemctl.state(SERVICE_UNIT);
  // A former call may have been ended before it came to the restart.
  const isChanged = changes.length > 0 || was.needsReload || runsReplacedExecutable(was.pid);
  const isNew = isChanged || (await changedVariables(was, names, systemctl)).length > 0;
  if (isNew) await systemctl.call('daemon-reload');
  const isEnabled = await systemctl.isEnabled(SERVICE_UNIT);
  if (!isEnabled) await systemctl.call('enable', SERVICE_UNIT);
  const isHeld = port !== 0 && isHeldBySystemd(port);
  const isStale = isNew || (was.active === 'active' && port !== 0 && !isHeld);
  if (!start) return isStale || !isEnabled ? 'enabled' : undefined;
  const settings = await systemctl.state(CONFIGURATION_UNIT);
  if (was.active === 'active' && !isStale) {
    const done = await configure(settings, areSettingsFine, systemctl, way);
    return done ?? (isEnabled ? undefined : 'enabled-again');
  }
  // systemd makes a socket anew, for another address, only while the service is down.
  if (!isHeld) await stopSocket(systemctl, way);
  const { active } = await systemctl.state(SERVICE_UNIT);
  const isDown = ['inactive', 'failed'].includes(active);
  // Pulls that run have time to end; what comes later waits in the socket for the next daemon. The
  // settings go first: a release without a socket leaves its port to anybody for a moment.
  const words = isDown ? ['start', SERVICE_UNIT] : ['restart', CONFIGURATION_UNIT, SERVICE_UNIT];
  await systemctl.call('--no-block', ...words);
  await untilUp(SERVICE_UNIT, was.invocation, systemctl, way);
  await untilConfigured(isDown ? { ...settings, invocation: '' } : settings, systemctl, way);
  return isDown ? 'started' : 'restarted';
}

/** Ends the service, and with it a socket that systemd has, and that is not what it should be. */
async function stopSocket(systemctl: Systemctl, { say }: InstallContext): Promise<void> {
  const isDown = ({ active }: UnitState) => ['inactive', 'failed'].includes(active);
  if (isDown(await systemctl.state(SOCKET_UNIT))) return;
  // By name: one whose file is gone does not know any more that it goes with the service.
  await systemctl.call('--no-block', 'stop', CONFIGURATION_UNIT, SERVICE_UNIT, SOCKET_UNIT);
  for (const unit of [SERVICE_UNIT, SOCKET_UNIT]) {
    await systemctl.until(unit, isDown, { timeoutMs: READY_TIMEOUT_MS, say });
  }
}

/**
 * The service runs; somebody may have stopped the unit of its settings, or changed what it wrote.
 */
async function configure(
  was: UnitState,
  areSettingsFine: StartRequest['areSettingsFine'],
  systemctl: Systemctl,
  way: InstallContext,
): Promise<ServiceAction | undefined> {
  if (isMasked(was)) return undefined;
  if (isUp(was)) {
    if (await areSettingsFine()) return undefined;
    // A reload, where the unit knows one, leaves no moment without settings.
    await systemctl.call('reload-or-restart', CONFIGURATION_UNIT);
    return 'configured';
  }
  await systemctl.call('--no-block', 'start', CONFIGURATION_UNIT);
  await untilConfigured(was, systemctl, way);
  return 'configured';
}

async function untilConfigured(
  was: UnitState,
  systemctl: Systemctl,
  way: InstallContext,
): Promise<void> {
  if (!isMasked(was)) await untilUp(CONFIGURATION_UNIT, was.invocation, systemctl, way);
}

/** Waits for a run of a unit that is not `former`: right after the call the old one may still be there. */
async function untilUp(
  unit: string,
  former: string,
  systemctl: Systemctl,
  { say }: InstallContext,
): Promise<void> {
  const state = await systemctl.until(
    unit,
    ({ active, sub, invocation }) =>
      // A run that has failed is followed by a pause, and another try.
      invocation !== former && (isPausing(sub) || ['active', 'failed'].includes(active)),
    { timeoutMs: READY_TIMEOUT_MS, say },
  );
  if (state.active === 'active' && state.invocation !== former) return;
  throw new SpegelError(
    'ERR_INSTALL',
    `expected ${unit} to run, got ${state.active} (${state.sub}); everything is in place, and 'journalctl -u ${unit}' says why it does not run: mend that and run this again, or 'spegel uninstall'`,
  );
}

function isPausing(sub: string): boolean {
  return sub === 'stop-post' || sub === 'auto-restart';
}
