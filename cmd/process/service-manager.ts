import type { ServiceManager } from '../../lib/systemd/systemd-service.ts';
import type { Environment } from '../options/option.ts';

/**
 * Variables by which systemd tells a service how to report and which sockets it holds. They are
 * meant for one process alone.
 */
export const SERVICE_MANAGER_VARIABLES = [
  'NOTIFY_SOCKET',
  'WATCHDOG_USEC',
  'WATCHDOG_PID',
  'LISTEN_FDS',
  'LISTEN_PID',
  'LISTEN_FDNAMES',
] as const;

/** The systemd that expects reports of this process; undefined: none does. */
export function readServiceManager(env: Environment, pid: number): ServiceManager | undefined {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: watched } = env;
  if (!socket) return undefined;
  // A shell between systemd and us inherits the variables of the watchdog: then they are not meant
  // for this process.
  const isMeant = watched === undefined || watched === String(pid);
  const watchdogMs =
    isMeant && /^[1-9]\d{0,15}$/.test(usec ?? '') ? Number(usec) / 1_000 : undefined;
  return { socket, watchdogMs };
}

/** The first descriptor that systemd passes on (sd_listen_fds(3)). */
const FIRST_DESCRIPTOR = 3;

/**
 * The descriptor of the listening socket that systemd holds for this process under the name
 * `registry`; undefined: none is held.
 */
export function readDescriptor(env: Environment, pid: number): number | undefined {
  const { LISTEN_PID: meant, LISTEN_FDS: count = '', LISTEN_FDNAMES: names = '' } = env;
  // A shell between systemd and us inherits the variables, and may not have the descriptors.
  if (meant !== String(pid) || !/^[1-9]\d{0,3}$/.test(count)) return undefined;
  const index = names.split(':').slice(0, Number(count)).indexOf('registry');
  return index === -1 ? undefined : FIRST_DESCRIPTOR + index;
}
