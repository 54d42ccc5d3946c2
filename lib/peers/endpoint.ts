import { hostPrefixOf, parseHostPort } from '../base/address.ts';

/** A peer at one address. */
export interface PeerEndpoint {
  readonly peerId: string;
  /** `host:port` */
  readonly address: string;
}

/** What is held against the one peer, and not against another at its address. */
export function pairOf({ peerId, address }: PeerEndpoint): string {
  return `${peerId} ${address}`;
}

/** The address without its port; of IPv6 only the network. */
export function hostKeyOf(address: string): string {
  return hostPrefixOf(parseHostPort(address)?.host ?? address);
}
