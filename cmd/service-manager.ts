import type { ServiceManager } from '../lib/systemd/supervised.ts';
import type { Environment } from './option.ts';

/** Variables by which systemd tells a service how to report. They are meant for one process alone. */
export const SERVICE_MANAGER_VARIABLES = [
  'NOTIFY_SOCKET',
  'WATCHDOG_USEC',
  'WATCHDOG_PID',
] as const;

/** What the environment says of a systemd that wants to hear from this process; undefined: none does. */
export function readServiceManager(env: Environment, pid: number): ServiceManager | undefined {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: watched } = env;
  if (!socket) return undefined;
  // A shell around us inherits the variables of the watchdog, which is not ours then.
  const isMeant = watched === undefined || watched === String(pid);
  const watchdogMs =
    isMeant && /^[1-9]\d{0,15}$/.test(usec ?? '') ? Number(usec) / 1_000 : undefined;
  return { socket, watchdogMs };
}
