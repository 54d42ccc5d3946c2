import type { ConnectionGater, MultiaddrConnection } from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import { isLoopback } from '../../base/address.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import { KeyedCounts } from '../../base/keyed-counts.ts';
import { quotaKey } from '../../base/quota-key.ts';
import { TimeBudget } from '../../base/time-budget.ts';
import { ipOf, tcpAddressOf } from '../wire-peer.ts';
import {
  HANDSHAKES_FORGET_MS,
  HANDSHAKES_PER_NETWORK,
  MAX_HANDSHAKE_NETWORKS,
  MAX_PEER_CONNECTIONS_PER_NETWORK,
} from './constants.ts';

/**
 * Limits the connections of one network before the handshake: identities that come and go without
 * end would use up this thread and the places for connections. Loopback has no limit, because a
 * whole fleet may share one address there.
 *
 * Also refuses to dial anything but an IP and a TCP port: peers name addresses of others, and must
 * not make this host ask the DNS or connect to a registry.
 */
export class InboundLimitGater implements ConnectionGater {
  readonly #open = new KeyedCounts();
  readonly #handshakes = new ExpiringMap<TimeBudget>(MAX_HANDSHAKE_NETWORKS);

  readonly denyDialMultiaddr = (address: Multiaddr): boolean => !isPlainTcp(address);

  readonly denyInboundConnection = (connection: MultiaddrConnection): boolean => {
    const ip = ipOf(connection.remoteAddr);
    if (isLoopback(ip)) return false;
    const release = this.enter(quotaKey(ip));
    if (release === undefined) return true;
    connection.addEventListener('close', release, { once: true });
    return false;
  };

  /**
   * Counts a connection and returns a function that releases it; undefined if the network has all
   * of its connections or handshakes.
   */
  enter(network: string, now = performance.now()): (() => void) | undefined {
    if (this.#open.of(network) >= MAX_PEER_CONNECTIONS_PER_NETWORK) return undefined;
    const handshakes = this.#handshakes.get(network) ?? new TimeBudget(HANDSHAKES_PER_NETWORK);
    if (handshakes.waitMs(now) > 0) return undefined;
    handshakes.spend(1, now);
    this.#handshakes.set(network, handshakes, HANDSHAKES_FORGET_MS);
    this.#open.add(network, 1);
    return () => this.#open.add(network, -1);
  }
}

function isPlainTcp(address: Multiaddr): boolean {
  const rest = tcpAddressOf(address)?.rest;
  return rest !== undefined && rest.length <= 1 && rest.every(({ name }) => name === 'p2p');
}
