import { readFileSync } from 'node:fs';
import type { ContainerdProxy } from '../../proxy/containerd-proxy.ts';
import type { Variables } from '../../proxy/go-proxy.ts';
import { type Finding, note } from '../system/finding.ts';
import { ENVIRONMENT_FILE } from '../system/layout.ts';

const LINES = ['TAG_SOURCE=peers', 'systemctl restart spegel'];

/** Advises to let peers resolve tags, if this host seems to have no way to a registry. */
export function tagSourceNote(
  installed: Variables,
  proxy: ContainerdProxy | undefined,
  hasWayOut = hasDefaultRoute(),
): Finding[] {
  if (installed.TAG_SOURCE === 'peers') return [];
  const why =
    installed.CONTENT_STORE === 'oci-layout'
      ? 'CONTENT_STORE=oci-layout: where that is the only source of these images, no registry answers for a tag'
      : (proxy?.isNone ?? true) && !hasWayOut
        ? 'this host has no default route and no proxy: if no registry ever answers here, no tag is found'
        : undefined;
  if (why === undefined) return [];
  const text = `${why}; peers answer for tags, whatever a registry says, with this in ${ENVIRONMENT_FILE}`;
  return [note('tag-source', text, LINES)];
}

/** Whether the kernel has a default route of either family. True if the host does not tell. */
function hasDefaultRoute(): boolean {
  try {
    const routes = readFileSync('/proc/net/route', 'utf8');
    if (/^\S+\t00000000\t\S+\t\S+\t\S+\t\S+\t\S+\t00000000\t/m.test(routes)) return true;
    return /^0{32} 00 .* (?!lo$)\S+$/m.test(readFileSync('/proc/net/ipv6_route', 'utf8'));
  } catch {
    return true;
  }
}
