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
import { PEERS_PER_TRIAL, TRIAL_AGAIN_MS, TRIAL_MS } from './constants.ts';
import { busierThan, endpointsOf, type Link, linksTo, onePerPeer } from './links.ts';

export interface AddressWatchParts {
  readonly log: Logger;
  readonly libp2p: Pick<Libp2p, 'getConnections'>;
  readonly table: RoutingTable;
  readonly self: OwnPeer;
  /** Called when another address is announced from now on. */
  readonly onReplaced: () => void;
}

interface Trial {
  /** On the monotonic clock in ms. */
  readonly at: number;
  readonly isReached: boolean;
}

/**
 * Notices when peers cannot reach the announced address, because the default route leads nowhere,
 * and announces the address that peers use. Two facts decide, never the word of a peer: fewer peers
 * are connected at the announced address than at another one of this host, and most peers do not
 * answer a connection from it although they answer one from the other.
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
   * Looks at the present connections, for at most TRIAL_MS per family. Does nothing if the settings
   * name the announced addresses, or while the last look still runs. Never rejects.
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
    const current = this.#parts.self.replaced.get(ip);
    // A host that lost all of its peers has learned nothing about its addresses.
    if (links.length === 0) return current;
    const other = busierThan(ip, links, announceableIps(network), current);
    if (other === undefined) return undefined;
    const dueAt = (this.#trials.get(ip)?.at ?? Number.NEGATIVE_INFINITY) + TRIAL_AGAIN_MS;
    if (performance.now() >= dueAt) {
      const linksOfOther = links.filter(({ local }) => local === other);
      const isReached = await isReachedAt(ip, other, linksOfOther, signal);
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
 * Whether most peers answer a connection from `ip`, of those that answer one from `ip` or `other`:
 * a peer behind NAT answers neither. Undefined if no peer answers at all.
 */
async function isReachedAt(
  ip: string,
  other: string,
  links: readonly Link[],
  signal: AbortSignal,
): Promise<boolean | undefined> {
  const tried = shuffled(onePerPeer(links)).slice(0, PEERS_PER_TRIAL);
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
