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
 * What was done about the units. `configured`: the service ran without its mirror settings.
 * `enabled-again`: it ran, but would not have started at the next boot.
 */
export type ServiceAction = 'started' | 'restarted' | 'enabled' | 'configured' | 'enabled-again';

/** What the units need to know about an installation. */
export interface StartRequest {
  /** False: the service is enabled and not started. */
  readonly start: boolean;
  readonly changes: readonly InstallFileChange[];
  /** The port of the registry; 0: the kernel chooses one, and systemd holds none. */
  readonly port: number;
  /** The variables of the service's options. */
  readonly optionVariables: readonly string[];
  /** Whether the hosts.toml files have the desired state. */
  readonly areSettingsFine: () => Promise<boolean>;
}

/**
 * Makes systemd run the installed files, unless it does already. Returns undefined when there was
 * nothing to do. Rejects with SpegelError ERR_INSTALL when a unit does not start.
 */
export async function startService(
  { start, changes, port, optionVariables, areSettingsFine }: StartRequest,
  systemctl: Systemctl,
  context: InstallContext,
): Promise<ServiceAction | undefined> {
  const before = await systemctl.state(SERVICE_UNIT);
  // An earlier call may have been ended before the restart.
  const isChanged = changes.length > 0 || before.needsReload || runsReplacedExecutable(before.pid);
  const isNew =
    isChanged || (await changedVariables(before, optionVariables, systemctl)).length > 0;
  if (isNew) await systemctl.call('daemon-reload');
  const isEnabled = await systemctl.isEnabled(SERVICE_UNIT);
  if (!isEnabled) await systemctl.call('enable', SERVICE_UNIT);
  const isHeld = port !== 0 && isHeldBySystemd(port);
  const isStale = isNew || (before.active === 'active' && port !== 0 && !isHeld);
  if (!start) return isStale || !isEnabled ? 'enabled' : undefined;
  const settings = await systemctl.state(CONFIGURATION_UNIT);
  if (before.active === 'active' && !isStale) {
    const done = await configure(settings, areSettingsFine, systemctl, context);
    return done ?? (isEnabled ? undefined : 'enabled-again');
  }
  // systemd makes a socket for another address only while the service is stopped.
  if (!isHeld) await stopSocket(systemctl, context);
  const { active } = await systemctl.state(SERVICE_UNIT);
  const isDown = ['inactive', 'failed'].includes(active);
  // Running pulls get time to end; later requests wait in the socket for the next daemon. The
  // configuration unit comes first: a release without a socket frees its port for a moment, and any
  // program could take it.
  const words = isDown ? ['start', SERVICE_UNIT] : ['restart', CONFIGURATION_UNIT, SERVICE_UNIT];
  await systemctl.call('--no-block', ...words);
  await untilUp(SERVICE_UNIT, before.invocation, systemctl, context);
  const former = isDown ? { ...settings, invocation: '' } : settings;
  await untilConfigured(former, areSettingsFine, systemctl, context);
  return isDown ? 'started' : 'restarted';
}

/** Stops the service, and with it a socket of systemd that has the wrong address. */
async function stopSocket(systemctl: Systemctl, { say }: InstallContext): Promise<void> {
  const isDown = ({ active }: UnitState) => ['inactive', 'failed'].includes(active);
  if (isDown(await systemctl.state(SOCKET_UNIT))) return;
  // All by name: a unit without its file does not know any more that it stops with the service.
  await systemctl.call('--no-block', 'stop', CONFIGURATION_UNIT, SERVICE_UNIT, SOCKET_UNIT);
  for (const unit of [SERVICE_UNIT, SOCKET_UNIT]) {
    await systemctl.until(unit, isDown, { timeoutMs: READY_TIMEOUT_MS, say });
  }
}

/**
 * The service runs. Its configuration unit may have been stopped, or its hosts.toml files edited.
 */
async function configure(
  was: UnitState,
  areSettingsFine: StartRequest['areSettingsFine'],
  systemctl: Systemctl,
  context: InstallContext,
): Promise<ServiceAction | undefined> {
  if (isMasked(was)) return undefined;
  if (isUp(was)) return (await mendSettings(areSettingsFine, systemctl)) ? 'configured' : undefined;
  await systemctl.call('--no-block', 'start', CONFIGURATION_UNIT);
  await untilConfigured(was, areSettingsFine, systemctl, context);
  return 'configured';
}

/** Has a configuration unit that is up write its files again, unless they are fine. */
async function mendSettings(
  areSettingsFine: StartRequest['areSettingsFine'],
  systemctl: Systemctl,
): Promise<boolean> {
  if (await areSettingsFine()) return false;
  // A reload, if the unit knows one, leaves no moment without mirror settings.
  await systemctl.call('reload-or-restart', CONFIGURATION_UNIT);
  return true;
}

/** Waits until the configuration unit runs with the settings of now. */
async function untilConfigured(
  was: UnitState,
  areSettingsFine: StartRequest['areSettingsFine'],
  systemctl: Systemctl,
  { say }: InstallContext,
): Promise<void> {
  if (isMasked(was)) return;
  // A start of the service that fails at this moment stops the socket, and systemd may then drop
  // the restart of the configuration: its former run stays, with files that may be old.
  const isDropped = (state: UnitState) =>
    isUp(state) && state.invocation === was.invocation && !state.hasJob;
  const state = await systemctl.until(
    CONFIGURATION_UNIT,
    (now) => isEnded(now, was.invocation) || isDropped(now),
    { timeoutMs: READY_TIMEOUT_MS, say },
  );
  if (isDropped(state)) await mendSettings(areSettingsFine, systemctl);
  else assertRuns(CONFIGURATION_UNIT, state, was.invocation);
}

/** Waits until a unit runs that is not the run `former`. */
async function untilUp(
  unit: string,
  former: string,
  systemctl: Systemctl,
  { say }: InstallContext,
): Promise<void> {
  const state = await systemctl.until(unit, (now) => isEnded(now, former), {
    timeoutMs: READY_TIMEOUT_MS,
    say,
  });
  assertRuns(unit, state, former);
}

/** Whether a start has succeeded or failed. Right after the call systemd may show run `former`. */
function isEnded({ active, sub, invocation }: UnitState, former: string): boolean {
  // A failed run is followed by a pause and another try.
  return invocation !== former && (isPausing(sub) || ['active', 'failed'].includes(active));
}

function assertRuns(unit: string, state: UnitState, former: string): void {
  if (state.active === 'active' && state.invocation !== former) return;
  throw new SpegelError(
    'ERR_INSTALL',
    `expected ${unit} to run, got ${state.active} (${state.sub}); everything is in place, and 'journalctl -u ${unit}' says why it does not run: mend that and run this again, or 'spegel uninstall'`,
  );
}

function isPausing(sub: string): boolean {
  return sub === 'stop-post' || sub === 'auto-restart';
}
