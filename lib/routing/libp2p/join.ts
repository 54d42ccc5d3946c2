import type { Libp2p } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import { canonicalIp, ownIps } from '../../base/address.ts';
import { messageOf } from '../../base/errors.ts';
import { delay } from '../../base/lifecycle.ts';
import type { Logger } from '../../base/log.ts';
import { Backoff } from '../../base/retry.ts';
import type { Bootstrapper } from '../../bootstrap/bootstrapper.ts';
import type { PeerTable } from './peer-table.ts';
import { parseAddress } from './wire-peer.ts';

export interface JoinParts {
  readonly log: Logger;
  readonly libp2p: Libp2p;
  readonly table: PeerTable;
  readonly bootstrappers: readonly Bootstrapper[];
}

/** Bounds of the waits between attempts to join: at once in a lab, no load on a network that is down. */
const RETRY = { minMs: 50, maxMs: 10_000 };
const DIAL_MS = 5_000;
/** A resolver that hangs must not keep the other bootstrappers' addresses from being tried. */
const ADDRESSES_MS = 5_000;
/** Addresses dialled per round; one peer is enough to meet all the others. */
const MAX_ADDRESSES = 256;
/** Identify follows the connection; a peer that is connected and not in the table by then speaks another protocol. */
const IDENTIFY_MS = 2_000;
const POLL_MS = 10;
/** How often a node that has peers looks at its lists again, so that two halves that grew apart find together. */
const RECHECK_MS = 300_000;
/** Hosts that start together miss each other at first: no reason to alarm anybody. */
const LONELY_MS = 3_000;
/** How soon it is noticed that the last peer is gone. */
const WATCH_MS = 500;

/**
 * Meets the first peer, and meets it again whenever the table has emptied: all addresses of all bootstrappers
 * are dialled, for ever, with growing waits. A node without any peer is in order: it serves its own host.
 */
export class Join {
  readonly #parts: JoinParts;
  readonly #port: number;
  #lonely = true;
  #toldLonely: boolean | undefined;
  #aloneSince = Number.POSITIVE_INFINITY;

  /** `port`: where our own router listens; with this host's IPs it tells own addresses in the lists. */
  constructor(parts: JoinParts, port: number) {
    this.#parts = parts;
    this.#port = port;
  }

  /** Runs until the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(RETRY);
    let checked = 0;
    try {
      while (!signal.aborted) {
        const alone = this.#parts.table.size === 0;
        if (alone || Date.now() - checked > RECHECK_MS) {
          await this.#round(signal);
          checked = Date.now();
        }
        this.#tell();
        if (!this.#lonely) backoff.reset();
        await this.#waitForChange(this.#lonely ? backoff.next() : WATCH_MS, signal);
      }
    } catch (error) {
      if (!signal.aborted) this.#parts.log.error('joining failed', { error: messageOf(error) });
    }
  }

  /** One line when the node is alone and one when it is not any more, however often it tries. */
  #tell(): void {
    const { table, log } = this.#parts;
    this.#lonely = table.size === 0;
    if (!this.#lonely) this.#aloneSince = Number.POSITIVE_INFINITY;
    else this.#aloneSince = Math.min(this.#aloneSince, Date.now());
    const isEarly = this.#lonely && Date.now() < this.#aloneSince + LONELY_MS;
    if (this.#lonely === this.#toldLonely || isEarly) return;
    this.#toldLonely = this.#lonely;
    if (this.#lonely) log.warn('no peer reached, trying on; images come from upstream meanwhile');
    else log.info('joined the network', { peers: table.size });
  }

  /** Ends early when somebody else's connection ends the loneliness. */
  async #waitForChange(ms: number, signal: AbortSignal): Promise<void> {
    const end = Date.now() + ms;
    while (Date.now() < end) {
      await delay(Math.min(WATCH_MS, Math.max(1, end - Date.now())), signal);
      if (this.#lonely && this.#parts.table.size > 0) return;
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const found = await this.#addresses(signal);
    const own = ownIps();
    const known = this.#knownEndpoints();
    const dials = found.filter((text) => {
      const endpoint = endpointOf(text);
      if (endpoint === undefined || known.has(`${endpoint.ip}/${endpoint.port}`)) return false;
      return !(own.has(endpoint.ip) && endpoint.port === this.#port);
    });
    const results = await Promise.all(
      dials.slice(0, MAX_ADDRESSES).map((address) => this.#dial(address, signal)),
    );
    if (results.some(Boolean)) await this.#identified(signal);
  }

  async #addresses(signal: AbortSignal): Promise<string[]> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(ADDRESSES_MS)]);
    const lists = this.#parts.bootstrappers.map(async (bootstrapper) => {
      try {
        return await bootstrapper.addresses(bounded);
      } catch (error) {
        const { kind } = bootstrapper;
        this.#parts.log.debug('bootstrapper failed', { kind, error: messageOf(error) });
        return [];
      }
    });
    return [...new Set((await Promise.all(lists)).flat())];
  }

  /** Where the peers of the table are: dialling those would only add a second connection. */
  #knownEndpoints(): Set<string> {
    const known = new Set<string>();
    for (const { addresses } of this.#parts.table.all()) {
      for (const bytes of addresses) {
        const endpoint = endpointOf(parseAddress(bytes)?.toString() ?? '');
        if (endpoint !== undefined) known.add(`${endpoint.ip}/${endpoint.port}`);
      }
    }
    return known;
  }

  /** True when connected. An id in the list that is not the peer's any more is ignored: the proved one counts. */
  async #dial(address: string, signal: AbortSignal): Promise<boolean> {
    const bare = address.replace(/\/p2p\/[^/]+$/, '');
    if (address.endsWith(`/p2p/${this.#parts.libp2p.peerId}`)) return false;
    for (const target of new Set([address, bare])) {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(DIAL_MS)]);
      try {
        await this.#parts.libp2p.dial(multiaddr(target), { signal: bounded });
        return true;
      } catch (error) {
        this.#parts.log.debug('bootstrap peer not reached', { target, error: messageOf(error) });
      }
    }
    return false;
  }

  async #identified(signal: AbortSignal): Promise<void> {
    const end = Date.now() + IDENTIFY_MS;
    while (this.#parts.table.size === 0 && Date.now() < end) await delay(POLL_MS, signal);
  }
}

function endpointOf(address: string): { ip: string; port: number } | undefined {
  const [, family, ip, transport, port] = address.split('/');
  if ((family !== 'ip4' && family !== 'ip6') || transport !== 'tcp' || ip === undefined)
    return undefined;
  return { ip: canonicalIp(ip), port: Number(port) };
}
