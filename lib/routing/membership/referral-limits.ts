import { ownIps } from '../../base/address.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import { quotaKey } from '../../base/quota-key.ts';
import { isDialableIp, peerIdText, routerTcpAddress, type WirePeer } from '../wire-peer.ts';
import {
  ADDRESSES_PER_REFERRAL,
  DIALS_PER_REFERRER,
  FAILURES_PER_REFERRER,
  MAX_REFERRERS,
  REFERRER_IGNORE_MS,
  REFERRER_PERIOD_MS,
} from './constants.ts';

/** A peer that another peer named. */
export interface ReferredPeer {
  readonly peerId: string;
  /** Multiaddrs in binary, two at most. */
  readonly addresses: readonly Uint8Array[];
}

/** The dials of one peer's referrals within the period. */
interface ReferrerDials {
  total: number;
  failed: number;
}

/**
 * Limits the dials of referred peers. A peer can make up any number of names: without these bounds,
 * a stranger that made up 256 of them caused 39,185 dials in half a minute, to targets of its
 * choice. Referring peers are counted by their address, since ids can be made up as well.
 */
export class ReferralLimits {
  readonly #dials = new ExpiringMap<ReferrerDials>(MAX_REFERRERS);
  readonly #ignored = new ExpiringMap<true>(MAX_REFERRERS);
  readonly #isOnLoopback: () => boolean;

  /** `isOnLoopback`: this node announces loopback, so its peers are on the same machine. */
  constructor(isOnLoopback: () => boolean) {
    this.#isOnLoopback = isOnLoopback;
  }

  /** The named peers that may be dialled, at which addresses; none of an ignored referrer. */
  dialablePeers(referrer: string, named: readonly WirePeer[]): ReferredPeer[] {
    if (this.#ignored.get(quotaKey(referrer)) === true) return [];
    const isOnLoopback = this.#isOnLoopback();
    const own = isOnLoopback ? new Set<string>() : ownIps();
    const isDialable = (bytes: Uint8Array) => {
      const address = routerTcpAddress(bytes);
      return (
        address !== undefined && isDialableIp(address.host, isOnLoopback) && !own.has(address.host)
      );
    };
    return named.flatMap(({ id, addresses }) => {
      const peerId = peerIdText(id);
      const dialable = addresses.filter(isDialable).slice(0, ADDRESSES_PER_REFERRAL);
      return peerId === undefined || dialable.length === 0 ? [] : [{ peerId, addresses: dialable }];
    });
  }

  /** Counts a dial. False if the referrer has had all of its dials, or is ignored. */
  allowDial(referrer: string): boolean {
    const key = quotaKey(referrer);
    if (this.#ignored.get(key) === true) return false;
    const dials = this.#dials.get(key) ?? { total: 0, failed: 0 };
    if (dials.total === 0) this.#dials.set(key, dials, REFERRER_PERIOD_MS);
    dials.total += 1;
    return dials.total <= DIALS_PER_REFERRER;
  }

  /** Counts a referred peer that could not be reached. */
  dialFailed(referrer: string): void {
    const key = quotaKey(referrer);
    const dials = this.#dials.get(key);
    if (dials === undefined) return;
    dials.failed += 1;
    if (dials.failed >= FAILURES_PER_REFERRER && dials.failed * 2 > dials.total)
      this.#ignored.set(key, true, REFERRER_IGNORE_MS);
  }
}
