import { canonicalIp, ownIps } from '../../base/address.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import { quotaKey } from '../../base/quota-key.ts';
import { isDialableIp } from '../registry-address.ts';
import type { WirePeer } from '../wire-peer.ts';
import { parseAddress, peerIdText } from '../wire-peer.ts';

/** A peer that another one told of. */
export interface ReferredPeer {
  /** Its id as text. */
  readonly peerId: string;
  /** Multiaddrs in binary, two at most. */
  readonly addresses: readonly Uint8Array[];
}

/** What came of the names of one teller. */
interface Account {
  dialled: number;
  dialFailed: number;
}

/** A host has one address per family. */
const MAX_ADDRESSES = 2;
/** Dials per teller in this time: a fleet of ten thousand is learned from a hundred tellers. */
const DIAL_PERIOD_MS = 60_000;
const MAX_DIALS = 512;
/** A teller whose names fail so often, and more often than not, tells of none for a while. */
const MAX_FAILED = 24;
const IGNORE_MS = 120_000;
/** More tellers than a fleet has; strangers can have any number of addresses. */
const MAX_TELLERS = 10_000;

/**
 * Which peers of hearsay are dialled. Names cost nothing: without these bounds a stranger that made
 * 256 of them up had this host dial 39,185 times in half a minute, wherever it said. Tellers are
 * told apart by address: ids cost nothing either.
 */
export class ReferralLimits {
  readonly #accounts = new ExpiringMap<Account>(MAX_TELLERS);
  readonly #ignored = new ExpiringMap<true>(MAX_TELLERS);
  readonly #isOnLoopback: () => boolean;

  /** `isOnLoopback`: this node announces loopback, so peers are on this same machine. */
  constructor(isOnLoopback: () => boolean) {
    this.#isOnLoopback = isOnLoopback;
  }

  /** What may be dialled of an answer; of one that has failed too often, nothing. */
  dialablePeers(teller: string, told: readonly WirePeer[]): ReferredPeer[] {
    if (this.#ignored.get(quotaKey(teller)) === true) return [];
    const isOnLoopback = this.#isOnLoopback();
    const own = isOnLoopback ? new Set<string>() : ownIps();
    const isDialable = (bytes: Uint8Array) => {
      const [where, tcp, more] = parseAddress(bytes)?.getComponents() ?? [];
      if (where?.name !== 'ip4' && where?.name !== 'ip6') return false;
      if (tcp?.name !== 'tcp' || more !== undefined) return false;
      const ip = canonicalIp(where.value ?? '');
      return isDialableIp(ip, isOnLoopback) && !own.has(ip);
    };
    return told.flatMap(({ id, addresses }) => {
      const peerId = peerIdText(id);
      const dialable = addresses.filter(isDialable).slice(0, MAX_ADDRESSES);
      return peerId === undefined || dialable.length === 0 ? [] : [{ peerId, addresses: dialable }];
    });
  }

  /** Counts a dial; false where the teller has had its share, or has failed too often. */
  allowDial(teller: string): boolean {
    const network = quotaKey(teller);
    if (this.#ignored.get(network) === true) return false;
    const account = this.#accounts.get(network) ?? { dialled: 0, dialFailed: 0 };
    if (account.dialled === 0) this.#accounts.set(network, account, DIAL_PERIOD_MS);
    account.dialled += 1;
    return account.dialled <= MAX_DIALS;
  }

  /** What a teller said of a peer was wrong: it cannot be reached. */
  failed(teller: string): void {
    const network = quotaKey(teller);
    const account = this.#accounts.get(network);
    if (account === undefined) return;
    account.dialFailed += 1;
    if (account.dialFailed >= MAX_FAILED && account.dialFailed * 2 > account.dialled)
      this.#ignored.set(network, true, IGNORE_MS);
  }
}
