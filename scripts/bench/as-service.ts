import { chown, mkdir } from 'node:fs/promises';
import { EXECUTABLE } from '../../lab/executable.ts';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';

/** systemd takes one from this range for `DynamicUser=yes`. */
const FIRST_USER = 61_200;

/**
 * Starts the daemons of a lab, or of some of its hosts, as the unit does: each under a user of its
 * own, with one capability, and with default options.
 */
export async function startAsService(
  lab: Lab,
  executable: readonly string[] = [EXECUTABLE],
  hosts: readonly LabHost[] = lab.hosts,
): Promise<void> {
  await Promise.all(
    hosts.map((host) => startOne(lab, host, FIRST_USER + lab.hosts.indexOf(host), executable)),
  );
}

async function startOne(
  lab: Lab,
  host: LabHost,
  user: number,
  executable: readonly string[],
): Promise<void> {
  await mkdir(host.spegel.dataDir, { recursive: true });
  await chown(host.spegel.dataDir, user, user);
  const set = (kind: string) => `--${kind}=-all,+dac_read_search`;
  const program = [
    ...['setpriv', `--reuid=${user}`, `--regid=${user}`, '--groups=0', '--no-new-privs'],
    ...[set('inh-caps'), set('ambient-caps'), set('bounding-set'), ...executable],
  ];
  await lab.startSpegel({ program, flags: { 'log-level': 'INFO' } }, [host]);
}
