import type { ConnectionGater, MultiaddrConnection } from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import { canonicalIp, isLoopback } from '../../base/address.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import { KeyedCounts } from '../../base/keyed-counts.ts';
import { quotaKey } from '../../base/quota-key.ts';
import { TimeBudget } from '../../base/time-budget.ts';
import { behindTcp } from '../wire-peer.ts';

/**
 * Hosts behind one address, or of one IPv6 network, with room: each of them keeps one connection.
 */
const MAX_PER_NETWORK = 1_024;
/** A handshake takes milliseconds of this thread: so many at once, and 16 a second after that. */
const HANDSHAKES = { share: 16 / 1_000, burstMs: 128 } as const;
/** More networks than a fleet has. */
const MAX_NETWORKS = 10_000;
const FORGET_MS = 60_000;

/**
 * Bounds what one network may connect, before the handshake: identities that come and go without
 * end took this thread and, each, a place. Loopback, where one address is a whole fleet, has no
 * bound. What peers tell of others is dialled: no name of theirs may reach our resolver, and /http
 * is no router.
 */
export class InboundLimitGater implements ConnectionGater {
  readonly #open = new KeyedCounts();
  readonly #handshakes = new ExpiringMap<TimeBudget>(MAX_NETWORKS);

  readonly denyDialMultiaddr = (address: Multiaddr): boolean => !isPlainTcp(address);

  readonly denyInboundConnection = (connection: MultiaddrConnection): boolean => {
    const ip = canonicalIp(connection.remoteAddr.getComponents()[0]?.value ?? '');
    if (isLoopback(ip)) return false;
    const leave = this.enter(quotaKey(ip));
    if (leave === undefined) return true;
    connection.addEventListener('close', leave, { once: true });
    return false;
  };

  /** Counts a connection; what it returns counts it out. Undefined: the network has its share. */
  enter(network: string, now = performance.now()): (() => void) | undefined {
    if (this.#open.of(network) >= MAX_PER_NETWORK) return undefined;
    const handshakes = this.#handshakes.get(network) ?? new TimeBudget(HANDSHAKES);
    if (handshakes.waitMs(now) > 0) return undefined;
    handshakes.spend(1, now);
    this.#handshakes.set(network, handshakes, FORGET_MS);
    this.#open.add(network, 1);
    return () => this.#open.add(network, -1);
  }
}

function isPlainTcp(address: Multiaddr): boolean {
  const more = behindTcp(address);
  return more !== undefined && more.length <= 1 && more.every(({ name }) => name === 'p2p');
}
