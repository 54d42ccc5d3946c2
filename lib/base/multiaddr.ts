import { isIPv6 } from 'node:net';

/** The multiaddr of a TCP port, and of a peer id there: `/ip4|ip6/<ip>/tcp/<port>[/p2p/<id>]`. */
export function tcpMultiaddr(ip: string, port: number, peerId?: string): string {
  const base = `/${isIPv6(ip) ? 'ip6' : 'ip4'}/${ip}/tcp/${port}`;
  return peerId === undefined ? base : `${base}/p2p/${peerId}`;
}
