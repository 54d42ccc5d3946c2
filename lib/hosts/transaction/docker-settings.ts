import { basename, dirname, join } from 'node:path';
import { codeOf } from '../../base/errors.ts';
import type { Disk } from './disk.ts';

/**
 * Whether dockerd reads this certs.d, and a `_default` in it would take something from dockerd: for
 * a registry with several hosts dockerd no longer heeds `insecure-registries` and
 * `registry-mirrors` of its daemon.json (moby, daemon/hosts.go).
 */
export function isReadByDocker(root: string, disk: Disk): boolean {
  if (basename(dirname(root)) !== 'docker') return false;
  try {
    const text = disk.readFileSync(join(dirname(root), 'daemon.json'), 'utf8');
    return /"(?:insecure-registries|registry-mirrors)"\s*:\s*\[\s*"/.test(text);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return false;
  }
}
