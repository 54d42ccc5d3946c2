import { isIPv6 } from 'node:net';
import { multiaddr } from '@multiformats/multiaddr';
import { delay, untilAborted } from '../../base/abortable.ts';
import { canonicalIp, ownIps } from '../../base/address.ts';
import { Backoff } from '../../base/backoff.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import type { Logger } from '../../base/log.ts';
import { shuffled } from '../../base/shuffled.ts';
import type { Bootstrapper } from '../../bootstrap/bootstrapper.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';

export interface BootstrapLoopParts {
  readonly log: Logger;
  readonly table: RoutingTable;
  readonly bootstrappers: readonly Bootstrapper[];
  /** Dials a multiaddr; resolves with the id that the handshake proved. Bounded in time; rejects with what went wrong. */
  readonly dial: (address: string, signal: AbortSignal) => Promise<string>;
  /** The IPs that a peer is connected from or at. */
  readonly remoteIpsOf: (peer: TablePeer) => readonly string[];
  /** A peer of the lists was reached and is in the table. */
  readonly onMet: (peer: string) => void;
}

/** Bounds of the waits between attempts to join: at once in a lab, no load on a network that is down. */
const RETRY = { minMs: 50, maxMs: 10_000 };
/** A resolver that hangs must not keep the other bootstrappers' addresses from being tried. */
const ADDRESSES_MS = 5_000;
/** Addresses of one list per round; of a longer one each round takes others. */
const MAX_PER_LIST = 128;
/**
 * After this long a round is over; dials that have no answer go on behind. An address that refused is tried again soon
 * then, however many others are dead: all hosts of a peer cache may have moved.
 */
const ROUND_MS = 1_000;
/** Dials that a round begins with, for each list. Those of some rounds wait together; more would stand in libp2p's queue. */
const DIALS_PER_LIST = 6;
/** What kept silent would take a place for seconds each time. */
const SILENT_MS = RETRY.maxMs;
const MAX_SILENT = 1_000;
/** Identify follows the connection; a peer that is connected and not in the table by then speaks another protocol. */
const IDENTIFY_MS = 2_000;
const POLL_MS = 10;
/** How often a node that has peers looks at its lists again, so that two halves that grew apart find together. */
const RECHECK_MS = 300_000;
/** Hosts that start together miss each other at first: no reason to alarm anybody. */
const ALONE_WARN_MS = 3_000;
/** How soon it is noticed that the last peer is gone. */
const WATCH_MS = 500;

interface RoundState {
  /** A node that is not alone dials all that is new, a lonely one until it has met somebody. */
  readonly wasAlone: boolean;
  isOver: boolean;
  /** Of each list, the addresses that are still to be dialled. */
  readonly turns: Iterator<string>[];
}

/**
 * Meets the first peer, and meets it again whenever the table has emptied: the addresses of all bootstrappers
 * are dialled, for ever, with growing waits. A node without any peer is in order: it serves its own host.
 */
export class BootstrapLoop {
  readonly #parts: BootstrapLoopParts;
  readonly #port: number;
  #isAlone = true;
  #toldAlone: boolean | undefined;
  #aloneSince = Number.POSITIVE_INFINITY;
  #recheckAt = 0;
  /** For the line about being lonely: dials so far, and why the last one failed. */
  #tried = 0;
  #problem: string | undefined;
  /** Lists that have not answered yet. */
  readonly #asked = new Set<Bootstrapper>();
  readonly #dialling = new Set<string>();
  readonly #silent = new ExpiringMap<true>(MAX_SILENT);

  /** `port`: where our own router listens; with this host's IPs it tells own addresses in the lists. */
  constructor(parts: BootstrapLoopParts, port: number) {
    this.#parts = parts;
    this.#port = port;
  }

  /** A list has changed: it is looked at within half a second. */
  recheck(): void {
    this.#recheckAt = 0;
  }

  /** Runs until the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(RETRY);
    try {
      while (!signal.aborted) {
        if (this.#parts.table.size === 0 || this.#isRecheckDue()) {
          // Hosts that were switched on together are not to ask the same resolver in step.
          this.#recheckAt = performance.now() + RECHECK_MS * (0.5 + Math.random());
          if (!(await this.#round(signal))) backoff.reset();
        }
        this.#logChange();
        if (!this.#isAlone) backoff.reset();
        await this.#waitForChange(this.#isAlone ? backoff.next() : WATCH_MS, signal);
      }
    } catch (error) {
      if (!signal.aborted) this.#parts.log.error('joining failed', { error: messageOf(error) });
    }
  }

  #isRecheckDue(): boolean {
    return performance.now() >= this.#recheckAt;
  }

  /** One line when the node is alone and one when it is not any more, however often it tries. */
  #logChange(): void {
    const { table, log } = this.#parts;
    this.#isAlone = table.size === 0;
    if (!this.#isAlone) this.#aloneSince = Number.POSITIVE_INFINITY;
    else this.#aloneSince = Math.min(this.#aloneSince, performance.now());
    const isEarly = this.#isAlone && performance.now() < this.#aloneSince + ALONE_WARN_MS;
    if (this.#isAlone === this.#toldAlone || isEarly) return;
    this.#toldAlone = this.#isAlone;
    if (this.#isAlone) {
      const message = 'no peer reached, trying on; images come from upstream meanwhile';
      log.warn(message, { tried: this.#tried, problem: this.#problem });
      return;
    }
    this.#tried = 0;
    log.info('joined the network', { peers: table.size });
  }

  /** Ends early when somebody else's connection ends the loneliness, and when a list has changed. */
  async #waitForChange(ms: number, signal: AbortSignal): Promise<void> {
    const end = performance.now() + ms;
    while (performance.now() < end) {
      await delay(Math.min(WATCH_MS, Math.max(1, end - performance.now())), signal);
      if (this.#isRecheckDue()) return;
      if (this.#isAlone && this.#parts.table.size > 0) return;
    }
  }

  /**
   * Dials what the lists name and the table does not have, each list as soon as it is there; a lonely node stops at the
   * first that it meets. False if time ran out before all addresses had their turn.
   */
  async #round(signal: AbortSignal): Promise<boolean> {
    const round: RoundState = { wasAlone: this.#parts.table.size === 0, isOver: false, turns: [] };
    // One that hangs is not asked anew while it does.
    const lists = this.#parts.bootstrappers.filter((list) => !this.#asked.has(list));
    const all = Promise.all(lists.map((list) => this.#dialAll(list, round, signal)));
    await waitAtMost(all, ROUND_MS);
    round.isOver = true;
    signal.throwIfAborted();
    return !round.wasAlone || round.turns.every((turn) => turn.next().done === true);
  }

  /** Never rejects. */
  async #dialAll(list: Bootstrapper, round: RoundState, signal: AbortSignal): Promise<void> {
    const turn = shuffled(await this.#newAddresses(list, signal))
      .slice(0, MAX_PER_LIST)
      .values();
    round.turns.push(turn);
    const work = async () => {
      for (const address of turn) {
        if (round.wasAlone && this.#parts.table.size > 0) return;
        const peer = await this.#dial(address, signal);
        if (peer !== undefined && (await this.#isIdentified(peer, signal))) this.#parts.onMet(peer);
        if (round.wasAlone && round.isOver) return;
      }
    };
    await Promise.all(Array.from({ length: DIALS_PER_LIST }, work)).catch(() => {});
  }

  /** Addresses of a list without our own and the known peers'. Never rejects. */
  async #newAddresses(list: Bootstrapper, signal: AbortSignal): Promise<string[]> {
    const own = ownIps();
    return (await this.#addresses(list, signal)).filter((text) => {
      const endpoint = endpointOf(text);
      if (endpoint === undefined || this.#isKnown(endpoint)) return false;
      if (this.#dialling.has(text) || this.#silent.get(text) === true) return false;
      return !(own.has(endpoint.ip) && endpoint.port === this.#port);
    });
  }

  /** Where a peer of the table is: not where it only says that it is, or it could keep us from meeting another. */
  #isKnown(endpoint: Endpoint): boolean {
    const peer = this.#parts.table.withAddress(bytesOf(endpoint));
    return peer !== undefined && this.#parts.remoteIpsOf(peer).includes(endpoint.ip);
  }

  async #addresses(list: Bootstrapper, signal: AbortSignal): Promise<readonly string[]> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(ADDRESSES_MS)]);
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

  /** The peer's id. One in the list that is not the peer's any more is ignored: the proved one counts. Never rejects. */
  async #dial(address: string, signal: AbortSignal): Promise<string | undefined> {
    const bare = address.replace(/\/p2p\/[^/]+$/, '');
    const started = performance.now();
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
      // It is this node itself, by an address that it does not know to be its own, or a clone of
      // it.
      if (isSelf || performance.now() - started > ROUND_MS)
        this.#silent.set(address, true, SILENT_MS);
      return undefined;
    } finally {
      this.#dialling.delete(address);
    }
  }

  async #isIdentified(peer: string, signal: AbortSignal): Promise<boolean> {
    const end = performance.now() + IDENTIFY_MS;
    while (this.#parts.table.get(peer) === undefined) {
      if (performance.now() > end) return false;
      await delay(POLL_MS, signal);
    }
    return true;
  }
}

/** Nobody was there to prove another id: the system's error, or none in time. */
function isUnreached(error: unknown): boolean {
  return codeOf(error) !== undefined || (error instanceof Error && error.name === 'TimeoutError');
}

/** Waits for work, `ms` at most. The work goes on; it must not reject. */
async function waitAtMost(work: Promise<unknown>, ms: number): Promise<void> {
  const ended = new AbortController();
  await Promise.race([work, delay(ms, ended.signal).catch(() => {})]);
  ended.abort();
}

interface Endpoint {
  readonly ip: string;
  readonly port: number;
}

function bytesOf({ ip, port }: Endpoint): Uint8Array {
  return multiaddr(`/${isIPv6(ip) ? 'ip6' : 'ip4'}/${ip}/tcp/${port}`).bytes;
}

function endpointOf(address: string): Endpoint | undefined {
  const [, family, ip, transport, port] = address.split('/');
  if ((family !== 'ip4' && family !== 'ip6') || transport !== 'tcp' || ip === undefined)
    return undefined;
  return { ip: canonicalIp(ip), port: Number(port) };
}
