/**
 * A host on which nothing is installed yet: the executable's commands on it, and what they leave
 * behind.
 */
import { existsSync } from 'node:fs';
import { CommandError } from '../processes/exec.ts';
import type { SystemdHost } from './systemd-host.ts';

/** Where it lies before it is installed. */
export const HOST_EXECUTABLE = '/opt/spegel';

/**
 * What a host has in these directories that no installation made: journals, containerd's state,
 * what is open.
 */
const RESTLESS = ['/var/log', '/var/lib/containerd', '/var/tmp', '/var/cache', '/var/lib/systemd'];

const NETWORK = /^--(?:new-network-key|network-key-file|open-network)\b/;

type Word = string | { readonly executable: string };

/**
 * Runs a command of the executable on the host. Returns its output and status, also a failure's.
 */
export async function spegel(host: SystemdHost, ...words: readonly Word[]) {
  const given = words.find((word) => typeof word !== 'string');
  const { executable = HOST_EXECUTABLE } = given ?? {};
  const flags = words.filter((word) => typeof word === 'string');
  // A new host has to be told which hosts may take part; a former release does not ask.
  const files = ['etc/systemd/system/spegel.service', 'etc/spegel/spegel.env'];
  const isNew = !files.every((path) => existsSync(host.path(path)));
  const isAsked = flags[0] === 'install' && isNew && executable === HOST_EXECUTABLE;
  if (isAsked && !flags.some((flag) => NETWORK.test(flag))) flags.push('--open-network');
  try {
    return { code: 0, ...(await host.run([executable, ...flags])) };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const { code, stdout, stderr } = error;
    return { code, stdout, stderr };
  }
}

/** Every file of the host with mode, owner, size and target, apart from the restless ones. */
export async function listing(host: SystemdHost): Promise<string> {
  const prune = RESTLESS.flatMap((path) => ['-path', path, '-prune', '-o']);
  const format = '%M %u:%g %p %l %y';
  // A directory's size is its file system's matter.
  const files = ['-type', 'f', '-printf', `${format} %s\\n`, '-o', '-printf', `${format}\\n`];
  const { stdout } = await host.run(['find', '/', '-xdev', ...prune, '(', ...files, ')']);
  return stdout.split('\n').sort().join('\n');
}
