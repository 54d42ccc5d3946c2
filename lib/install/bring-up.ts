import { readlinkSync } from 'node:fs';
import { SpegelError } from '../base/errors.ts';
import type { FileChange } from './files.ts';
import { advice, type Finding } from './finding.ts';
import { CONFIGURATION, EXECUTABLE, SERVICE, SOCKET } from './layout.ts';
import { isHeldBySystemd } from './socket-unit.ts';
import type { Say, Systemctl, UnitState } from './systemctl.ts';

/** It is ready in a second; a containerd under load may keep it waiting. */
const READY_TIMEOUT_MS = 90_000;

export interface Way {
  readonly signal: AbortSignal;
  readonly say: Say;
}

/** What was done about the units. Configured: the service ran, and its mirror settings were missing. */
export type BroughtUp = 'started' | 'restarted' | 'enabled' | 'configured';

/** What of an installation the units have to do with. */
export interface Wanted {
  /** False: the service is only enabled. */
  readonly start: boolean;
  readonly changes: readonly FileChange[];
  /** The registry's; 0: the kernel chooses one, and systemd holds none. */
  readonly port: number;
}

/**
 * Has systemd run what is in place now, unless it does. Undefined: nothing was to do. Rejects with SpegelError
 * ERR_INSTALL when a unit does not come up.
 */
export async function bringUp(
  { start, changes, port }: Wanted,
  systemctl: Systemctl,
  way: Way,
): Promise<BroughtUp | undefined> {
  const was = await systemctl.state(SERVICE);
  // A former call may have been ended before it came to the restart.
  const isNew = changes.length > 0 || was.needsReload || runsAnother(was.pid);
  if (isNew) await systemctl.call('daemon-reload');
  const isEnabled = await systemctl.isEnabled(SERVICE);
  if (!isEnabled) await systemctl.call('enable', SERVICE);
  const isHeld = port !== 0 && isHeldBySystemd(port);
  const isStale = isNew || (was.active === 'active' && port !== 0 && !isHeld);
  if (!start) return isStale || !isEnabled ? 'enabled' : undefined;
  const settings = await systemctl.state(CONFIGURATION);
  if (was.active === 'active' && !isStale) return configure(settings, systemctl, way);
  // systemd makes a socket anew, for another address, only while the service is down.
  if (!isHeld) await stopSocket(systemctl, way);
  const { active } = await systemctl.state(SERVICE);
  const isDown = ['inactive', 'failed'].includes(active);
  // Pulls that run have time to end; one that comes meanwhile waits in the socket for the next life of the service. The
  // settings come first: a service that has no socket yet leaves its port to anybody.
  const words = isDown ? ['start', SERVICE] : ['restart', CONFIGURATION, SERVICE];
  await systemctl.call('--no-block', ...words);
  await untilUp(SERVICE, was.invocation, systemctl, way);
  await untilConfigured(isDown ? { ...settings, invocation: '' } : settings, systemctl, way);
  return isDown ? 'started' : 'restarted';
}

/** Ends the service, and with it a socket that systemd has, and that is not what it should be. */
async function stopSocket(systemctl: Systemctl, { say }: Way): Promise<void> {
  const isDown = ({ active }: UnitState) => ['inactive', 'failed'].includes(active);
  if (isDown(await systemctl.state(SOCKET))) return;
  // By name: one whose file is gone does not know any more that it goes with the service.
  await systemctl.call('--no-block', 'stop', CONFIGURATION, SERVICE, SOCKET);
  for (const unit of [SERVICE, SOCKET]) {
    await systemctl.until(unit, isDown, { timeoutMs: READY_TIMEOUT_MS, say });
  }
}

/** The service runs; somebody may have stopped the unit of its settings. */
async function configure(
  was: UnitState,
  systemctl: Systemctl,
  way: Way,
): Promise<BroughtUp | undefined> {
  if (was.active === 'active' || isMasked(was)) return undefined;
  await systemctl.call('--no-block', 'start', CONFIGURATION);
  await untilConfigured(was, systemctl, way);
  return 'configured';
}

async function untilConfigured(was: UnitState, systemctl: Systemctl, way: Way): Promise<void> {
  if (!isMasked(was)) await untilUp(CONFIGURATION, was.invocation, systemctl, way);
}

/** Somebody wants this host to share without asking itself. */
function isMasked({ load }: UnitState): boolean {
  return load === 'masked';
}

/** Whether a process runs from a file that was replaced since. */
function runsAnother(pid: number): boolean {
  try {
    return pid !== 0 && readlinkSync(`/proc/${pid}/exe`) !== EXECUTABLE;
  } catch {
    // It has just ended: systemd starts what is there now.
    return false;
  }
}

/** Waits for a run of a unit that is not `former`: right after the call the old one may still be there. */
async function untilUp(
  unit: string,
  former: string,
  systemctl: Systemctl,
  { say }: Way,
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

/** Everything is in place: does it run, too? Without `start` it is enough that the next boot starts it. */
export async function serviceAdvice(
  start: boolean,
  port: number,
  systemctl: Systemctl,
): Promise<Finding[]> {
  const { active } = await systemctl.state(SERVICE);
  const isEnabled = await systemctl.isEnabled(SERVICE);
  const isUp = active === 'active';
  if (!isEnabled || (start && !isUp)) {
    const got = `${active} and ${isEnabled ? 'enabled' : 'not enabled'}`;
    const expected = start ? 'active and enabled' : 'enabled';
    const again = start ? 'spegel install' : 'spegel install --start=false';
    return [advice('service', `expected ${SERVICE} to be ${expected}, got ${got}`, [again])];
  }
  if (isUp && port !== 0 && !isHeldBySystemd(port)) {
    const text = `expected systemd to hold port ${port}, got ${SERVICE} alone: another user can take it when that is restarted`;
    return [advice('socket', text, ['spegel install'])];
  }
  const settings = await systemctl.state(CONFIGURATION);
  if (!isUp || settings.active === 'active' || isMasked(settings)) return [];
  const text = `expected ${CONFIGURATION} to be active, got ${settings.active}: containerd does not ask the mirror`;
  return [advice('configuration', text, ['spegel install'])];
}
