import { isIPv6 } from 'node:net';

/** The multiaddr of a TCP port as text: `/ip4|ip6/<ip>/tcp/<port>`. */
export function tcpMultiaddr(ip: string, port: number): string {
  return `/${isIPv6(ip) ? 'ip6' : 'ip4'}/${ip}/tcp/${port}`;
}
