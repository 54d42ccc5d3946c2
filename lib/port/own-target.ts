import { isIP } from 'node:net';
import { canonicalIp, isUnspecified, type ListenAddress } from '../base/address.ts';

/**
 * The URL by which this host's containerd asks this host's registry. Undefined where no URL suits
 * every containerd: port 0, which the system chooses, and IPv6 addresses other than `::1`, which is
 * `localhost`. containerd 1.x rejects a file with an IPv6 address.
 */
export function ownTarget({ host, port }: ListenAddress): string | undefined {
  const ip = canonicalIp(host);
  if (port === 0) return undefined;
  if (ip === '' || isUnspecified(ip)) return `http://127.0.0.1:${port}`;
  if (ip === '::1') return `http://localhost:${port}`;
  return isIP(ip) === 6 ? undefined : `http://${ip}:${port}`;
}
