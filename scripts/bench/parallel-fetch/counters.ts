/** What the hosts that content may come from have sent and were asked for. */
import type { LabHost } from '../../../lab/fleet/lab.ts';
import type { NetHost } from '../../../lab/network/nethost.ts';
import type { Upstream } from '../../../lab/registries/upstream.ts';

/** All since the hosts exist, except the requests to the upstream: since its log was forgotten. */
export interface Counters {
  readonly peersSent: number;
  readonly upstreamSent: number;
  readonly requests: number;
  readonly aborted: number;
}

/** Sums over all of them. */
export async function countersOf(peers: readonly LabHost[], upstream: Upstream): Promise<Counters> {
  const each = await Promise.all(
    peers.map(async ({ net, spegel }) => ({
      sent: await net.bytesSent(),
      requests: await spegel.metric('http_response_size_bytes_count', 'handler="blob"'),
      aborted: await resets(net),
    })),
  );
  const sum = (key: keyof (typeof each)[number]) =>
    each.reduce((total, one) => total + one[key], 0);
  return {
    peersSent: sum('sent'),
    upstreamSent: await upstream.net.bytesSent(),
    requests: sum('requests') + (await upstream.blobRequests()).length,
    aborted: sum('aborted') + (await resets(upstream.net)),
  };
}

/**
 * Connections of this host that ended by a reset: EstabResets of /proc/net/snmp (RFC 4022,
 * tcpEstabResets).
 */
async function resets(net: NetHost): Promise<number> {
  const { stdout } = await net.run(['cat', '/proc/net/snmp']);
  const [names = [], values = []] = stdout
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  const value = Number(values[names.indexOf('EstabResets')]);
  if (Number.isNaN(value)) throw new Error('/proc/net/snmp: expected EstabResets, got none');
  return value;
}
