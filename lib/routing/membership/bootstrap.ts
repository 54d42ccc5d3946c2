import { multiaddr } from '@multiformats/multiaddr';
import { delay, untilAborted } from '../../base/abortable.ts';
import { type HostPort, ownIps } from '../../base/address.ts';
import { Backoff } from '../../base/backoff.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import type { Logger } from '../../base/log.ts';
import { tcpMultiaddr } from '../../base/multiaddr.ts';
import { shuffled } from '../../base/shuffled.ts';
import type { Bootstrapper } from '../../bootstrap/bootstrapper.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';
import { parseAddress, tcpAddressOf } from '../wire-peer.ts';
import {
  ALONE_WARN_MS,
  BOOTSTRAP_RETRY,
  BOOTSTRAP_ROUND_MS,
  DIALS_PER_LIST,
  ENTER_TABLE_MS,
  ENTER_TABLE_POLL_MS,
  LIST_MS,
  LISTS_RECHECK_MS,
  MAX_ADDRESSES_PER_LIST,
  MAX_SILENT_ADDRESSES,
  SILENT_ADDRESS_MS,
  TABLE_WATCH_MS,
} from './constants.ts';

export interface BootstrapLoopParts {
  readonly log: Logger;
  readonly table: RoutingTable;
  readonly bootstrappers: readonly Bootstrapper[];
  /**
   * Dials a multiaddr and resolves with the peer id that the handshake proved. Bounded in time;
   * rejects with the reason of the failure.
   */
  readonly dial: (address: string, signal: AbortSignal) => Promise<string>;
  /** The peer's IPs, as its connections use them. */
  readonly remoteIpsOf: (peer: TablePeer) => readonly string[];
  /** Called when a peer of a list was reached and is in the table. */
  readonly onMet: (peerId: string) => void;
}

interface Round {
  /**
   * A node with peers dials every new address; a node alone stops at the first peer that it meets.
   */
  readonly wasAlone: boolean;
  isOver: boolean;
  /** The addresses of each list that are still to be dialled. */
  readonly remaining: Iterator<string>[];
}

/**
 * Meets the first peer, and meets one again whenever the routing table is empty: it dials the
 * addresses of all bootstrappers in rounds, with ever longer waits, without end. A node without
 * peers is in order: it serves its own host.
 */
export class BootstrapLoop {
  readonly #parts: BootstrapLoopParts;
  readonly #port: number;
  #isAlone = true;
  /** What the log said last; undefined: nothing yet. */
  #loggedAlone: boolean | undefined;
  #aloneSince = Number.POSITIVE_INFINITY;
  #recheckAt = 0;
  /** For the log: addresses dialled while alone, and why the last dial failed. */
  #tried = 0;
  #problem: string | undefined;
  /** Bootstrappers that have not answered yet. */
  readonly #asked = new Set<Bootstrapper>();
  readonly #dialling = new Set<string>();
  readonly #silent = new ExpiringMap<true>(MAX_SILENT_ADDRESSES);

  /** `port`: where our own router listens. With this host's IPs it marks own addresses in lists. */
  constructor(parts: BootstrapLoopParts, port: number) {
    this.#parts = parts;
    this.#port = port;
  }

  /** A list has changed: the next round starts within half a second. */
  recheck(): void {
    this.#recheckAt = 0;
  }

  /** Runs until the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(BOOTSTRAP_RETRY);
    try {
      while (!signal.aborted) {
        if (this.#parts.table.size === 0 || this.#isRecheckDue()) {
          // Random, so that hosts that were switched on together do not ask one resolver in step.
          this.#recheckAt = performance.now() + LISTS_RECHECK_MS * (0.5 + Math.random());
          if (!(await this.#round(signal))) backoff.reset();
        }
        this.#logChange();
        if (!this.#isAlone) backoff.reset();
        await this.#waitForChange(this.#isAlone ? backoff.next() : TABLE_WATCH_MS, signal);
      }
    } catch (error) {
      if (!signal.aborted) this.#parts.log.error('joining failed', { error: messageOf(error) });
    }
  }

  #isRecheckDue(): boolean {
    return performance.now() >= this.#recheckAt;
  }

  /** Logs one line when the node is alone, and one when it no longer is. */
  #logChange(): void {
    const { table, log } = this.#parts;
    this.#isAlone = table.size === 0;
    if (!this.#isAlone) this.#aloneSince = Number.POSITIVE_INFINITY;
    else this.#aloneSince = Math.min(this.#aloneSince, performance.now());
    const isEarly = this.#isAlone && performance.now() < this.#aloneSince + ALONE_WARN_MS;
    if (this.#isAlone === this.#loggedAlone || isEarly) return;
    this.#loggedAlone = this.#isAlone;
    if (this.#isAlone) {
      const message = 'no peer reached, trying on; images come from upstream meanwhile';
      log.warn(message, { tried: this.#tried, problem: this.#problem });
      return;
    }
    this.#tried = 0;
    log.info('joined the network', { peers: table.size });
  }

  /** Waits `ms`, or until a list has changed or a peer has connected to a node that was alone. */
  async #waitForChange(ms: number, signal: AbortSignal): Promise<void> {
    const end = performance.now() + ms;
    while (performance.now() < end) {
      await delay(Math.min(TABLE_WATCH_MS, Math.max(1, end - performance.now())), signal);
      if (this.#isRecheckDue()) return;
      if (this.#isAlone && this.#parts.table.size > 0) return;
    }
  }

  /**
   * Dials addresses of the lists that are not in the table, each list as soon as it is known. False
   * if the round ended before all addresses had their turn.
   */
  async #round(signal: AbortSignal): Promise<boolean> {
    const round: Round = { wasAlone: this.#parts.table.size === 0, isOver: false, remaining: [] };
    // A bootstrapper that hangs is not asked again until it answers.
    const lists = this.#parts.bootstrappers.filter((list) => !this.#asked.has(list));
    const all = Promise.all(lists.map((list) => this.#dialList(list, round, signal)));
    await waitAtMost(all, BOOTSTRAP_ROUND_MS);
    round.isOver = true;
    signal.throwIfAborted();
    return !round.wasAlone || round.remaining.every((addresses) => addresses.next().done === true);
  }

  /** Never rejects. */
  async #dialList(list: Bootstrapper, round: Round, signal: AbortSignal): Promise<void> {
    const addresses = shuffled(await this.#newAddresses(list, signal))
      .slice(0, MAX_ADDRESSES_PER_LIST)
      .values();
    round.remaining.push(addresses);
    const work = async () => {
      for (const address of addresses) {
        if (round.wasAlone && this.#parts.table.size > 0) return;
        const peerId = await this.#dial(address, signal);
        if (peerId !== undefined && (await this.#hasEnteredTable(peerId, signal)))
          this.#parts.onMet(peerId);
        if (round.wasAlone && round.isOver) return;
      }
    };
    await Promise.all(Array.from({ length: DIALS_PER_LIST }, work)).catch(() => {});
  }

  /** The addresses of a list without our own and those of peers in the table. Never rejects. */
  async #newAddresses(list: Bootstrapper, signal: AbortSignal): Promise<string[]> {
    const own = ownIps();
    return (await this.#addresses(list, signal)).filter((text) => {
      const endpoint = tcpAddressOf(parseAddress(text));
      if (endpoint === undefined || this.#isInTable(endpoint)) return false;
      if (this.#dialling.has(text) || this.#silent.get(text) === true) return false;
      return !(own.has(endpoint.host) && endpoint.port === this.#port);
    });
  }

  /**
   * Whether a peer of the table is connected at an address. That it only names the address does not
   * count: it could keep us from meeting another peer.
   */
  #isInTable({ host, port }: HostPort): boolean {
    const peer = this.#parts.table.withAddress(multiaddr(tcpMultiaddr(host, port)).bytes);
    return peer !== undefined && this.#parts.remoteIpsOf(peer).includes(host);
  }

  async #addresses(list: Bootstrapper, signal: AbortSignal): Promise<readonly string[]> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(LIST_MS)]);
    this.#asked.add(list);
    try {
      return await untilAborted(list.addresses(bounded), bounded);
    } catch (error) {
      const { kind } = list;
      this.#parts.log.debug('bootstrapper failed', { kind, error: messageOf(error) });
      return [];
    } finally {
      this.#asked.delete(list);
    }
  }

  /**
   * Resolves with the peer id that the handshake proved, also if the list names another one;
   * undefined if the dial failed. Never rejects.
   */
  async #dial(address: string, signal: AbortSignal): Promise<string | undefined> {
    const bare = address.replace(/\/p2p\/[^/]+$/, '');
    const startedAt = performance.now();
    let isSelf = false;
    this.#dialling.add(address);
    this.#tried++;
    try {
      for (const target of new Set([address, bare])) {
        if (signal.aborted) return undefined;
        try {
          return await this.#parts.dial(target, signal);
        } catch (error) {
          this.#problem = messageOf(error);
          this.#parts.log.debug('bootstrap peer not reached', { target, error: this.#problem });
          isSelf = error instanceof Error && error.name === 'InvalidPeerIdError';
          if (isUnreached(error)) break;
        }
      }
      // `isSelf`: the address leads to this node, which does not know it as its own, or to a clone.
      if (isSelf || performance.now() - startedAt > BOOTSTRAP_ROUND_MS)
        this.#silent.set(address, true, SILENT_ADDRESS_MS);
      return undefined;
    } finally {
      this.#dialling.delete(address);
    }
  }

  async #hasEnteredTable(peerId: string, signal: AbortSignal): Promise<boolean> {
    const end = performance.now() + ENTER_TABLE_MS;
    while (this.#parts.table.get(peerId) === undefined) {
      if (performance.now() > end) return false;
      await delay(ENTER_TABLE_POLL_MS, signal);
    }
    return true;
  }
}

/** Whether no host answered, by a system error or a timeout. Otherwise another id may be there. */
function isUnreached(error: unknown): boolean {
  return codeOf(error) !== undefined || (error instanceof Error && error.name === 'TimeoutError');
}

/** Waits up to `ms` for work, which then continues. The work must not reject. */
async function waitAtMost(work: Promise<unknown>, ms: number): Promise<void> {
  const ended = new AbortController();
  await Promise.race([work, delay(ms, ended.signal).catch(() => {})]);
  ended.abort();
}
