import { isIPv6 } from 'node:net';
import type { Libp2p } from '@libp2p/interface';
import { isLoopback } from '../../base/address.ts';
import type { Logger } from '../../base/log.ts';
import { shuffled } from '../../base/shuffled.ts';
import type { RoutingTable } from '../dht/routing-table.ts';
import {
  type AnnounceSettings,
  announceableIps,
  foundIps,
  givenIps,
  type KernelNetwork,
  type ReplacedIps,
  readKernelNetwork,
} from '../transport/announced-addresses.ts';
import type { OwnPeer } from '../transport/own-peer.ts';
import { connectFrom } from '../transport/tcp.ts';
import { busierThan, endpointsOf, type Link, linksTo } from './links.ts';

export interface AddressWatchParts {
  readonly log: Logger;
  readonly libp2p: Pick<Libp2p, 'getConnections'>;
  readonly table: RoutingTable;
  readonly self: OwnPeer;
  /** Another address is announced from now on. */
  readonly onReplaced: () => void;
}

/** A first packet that is lost is sent again after a second. */
const TRIAL_MS = 2_000;
/** Peers that a trial asks, so that one that lies, or stands apart, does not decide. */
const PEERS_TRIED = 8;
/** A route may be mended, or break, without a change on this host. */
const TRY_AGAIN_MS = 30_000;

interface Trial {
  /** On the monotonic clock in ms. */
  readonly at: number;
  readonly isReached: boolean;
}

/**
 * Finds out when the default route leads nowhere and its address is announced in vain, and has the
 * address announced that peers use. Two facts decide, and no peer's word: fewer peers are connected
 * at the announced address than at another one of this host, and most peers do not answer a
 * connection from it, though they do from the other.
 */
export class AddressWatch {
  readonly #parts: AddressWatchParts;
  readonly #settings: AnnounceSettings;
  readonly #trials = new Map<string, Trial>();
  #isLooking = false;

  constructor(parts: AddressWatchParts, settings: AnnounceSettings) {
    this.#parts = parts;
    this.#settings = settings;
  }

  /**
   * Looks at the connections that there are. Takes TRIAL_MS per family at most; does nothing where
   * the settings name what is announced, nor while it is still looking. Never rejects.
   */
  async look(signal: AbortSignal): Promise<void> {
    if (this.#isLooking || givenIps(this.#settings) !== undefined) return;
    this.#isLooking = true;
    try {
      const network = readKernelNetwork();
      const found = foundIps(this.#settings, network).filter((ip) => !isLoopback(ip));
      const links = linksTo(this.#parts.table, this.#parts.libp2p);
      for (const ip of this.#trials.keys()) if (!found.includes(ip)) this.#trials.delete(ip);
      const replaced = new Map<string, string>();
      for (const ip of found) {
        const ofFamily = links.filter(({ local }) => isIPv6(local) === isIPv6(ip));
        const other = await this.#replacementOf(ip, ofFamily, network, signal);
        if (other !== undefined) replaced.set(ip, other);
      }
      if (!signal.aborted) this.#replace(replaced);
    } finally {
      this.#isLooking = false;
    }
  }

  async #replacementOf(
    ip: string,
    links: readonly Link[],
    network: KernelNetwork,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const now = this.#parts.self.replaced.get(ip);
    // A host that lost all of its peers has learned nothing about its addresses.
    if (links.length === 0) return now;
    const other = busierThan(ip, links, announceableIps(network), now);
    if (other === undefined) return undefined;
    const isDue = (this.#trials.get(ip)?.at ?? Number.NEGATIVE_INFINITY) + TRY_AGAIN_MS;
    if (performance.now() >= isDue) {
      const there = links.filter(({ local }) => local === other);
      const isReached = await isReachedAt(ip, other, there, signal);
      this.#parts.log.debug('announced address tried', { ip, other, isReached });
      if (isReached !== undefined) this.#trials.set(ip, { at: performance.now(), isReached });
    }
    return this.#trials.get(ip)?.isReached === false ? other : undefined;
  }

  #replace(replaced: ReplacedIps): void {
    const { self, log, onReplaced } = this.#parts;
    const before = self.replaced;
    if ([...replaced].join() === [...before].join() || !self.replace(replaced)) return;
    const { announced } = self;
    for (const [unreached] of replaced) {
      if (replaced.get(unreached) === before.get(unreached)) continue;
      log.warn(
        'peers do not reach the announced address, another one takes its place; --advertise-address settles it',
        { unreached, announced },
      );
    }
    for (const [reached] of before) {
      if (replaced.has(reached)) continue;
      log.info('the address that peers did not reach is announced again', { reached, announced });
    }
    onReplaced();
  }
}

/**
 * Whether most of the peers answer a connection from `ip`, of those that answer one from `ip` or
 * from `other`: one behind NAT answers neither. Undefined when no peer answers anything.
 */
async function isReachedAt(
  ip: string,
  other: string,
  links: readonly Link[],
  signal: AbortSignal,
): Promise<boolean | undefined> {
  const tried = shuffled(links).slice(0, PEERS_TRIED);
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(TRIAL_MS)]);
  const answers = await Promise.all(
    tried.map((link) => Promise.all([ip, other].map((from) => isAnswered(from, link, bounded)))),
  );
  const counted = answers.filter(([here, there]) => here || there);
  if (counted.length === 0) return undefined;
  return counted.filter(([here]) => here).length * 2 >= counted.length;
}

/** Never rejects. */
function isAnswered(from: string, link: Link, signal: AbortSignal): Promise<boolean> {
  const connections = endpointsOf(link).map((endpoint) => connectFrom(from, endpoint, signal));
  return Promise.any(connections).then(
    () => true,
    () => false,
  );
}
