import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { canonicalIp } from '../base/address.ts';
import { KeyedCounts } from '../base/keyed-counts.ts';
import type { Logger } from '../base/log.ts';
import { LogRateLimit } from '../base/log-rate-limit.ts';
import { type Subnet, Subnets } from '../base/subnet.ts';
import { MIRRORED_HEADER } from '../mirror/ask.ts';

/** Where a request comes from, and what follows for its answer. */
export type Role =
  /**
   * A process of this host, by its address: it is mirrored, and what it gets may land in this
   * host's store.
   */
  | 'host'
  /**
   * A client on another host that is mirrored: a container or VM with an address of its own, a host
   * without Spegel.
   */
  | 'client'
  /** A peer, by its header alone: it gets local content, so that requests never go round. */
  | 'peer'
  /** A client on another host that is not mirrored: it gets local content. */
  | 'unmirrored';

/** Which clients on other hosts are mirrored: any of them, none, or those in these ranges. */
export type MirrorClients = 'any' | 'host' | readonly Subnet[];

/** Why a client on another host is not mirrored. */
export interface Refusal {
  /** For a person; ends no sentence. */
  readonly reason: string;
  /**
   * To be called when the client did not get what it asked for: the log has it then, once in a
   * while.
   */
  tell(): void;
}

/** One request that is being answered. */
export interface Visit {
  readonly role: Role;
  /** Canonical. */
  readonly address: string;
  /** Of role `host`, by a client that calls itself containerd. */
  readonly isHostsContainerd: boolean;
  /** In a closed network it needs a signature. */
  readonly needsKey: boolean;
  /** Of role `unmirrored` only. */
  readonly refusal: Refusal | undefined;
  /** To be called when it is answered. */
  leave(): void;
}

export interface ClientsParts {
  readonly log: Logger;
  readonly own: { has(address: string | undefined): boolean };
  /**
   * A client on this host that is another user's than containerd's: it is mirrored like one on
   * another host. What it asks says nothing of containerd's pulls, or any user could have a tag
   * count as failed, a layer as a manifest, and this host as one that downloads.
   */
  readonly isUsers: (socket: Socket) => boolean;
}

/** Tells the role of each request, and bounds what clients on other hosts are given at once. */
export class Clients {
  readonly #parts: ClientsParts;
  readonly #mirrored: MirrorClients;
  readonly #subnets: Subnets;
  readonly #lines = new LogRateLimit(LOG_MS, MAX_LINES);
  /** Requests of mirrored clients that are being answered, by address. */
  readonly #answering = new KeyedCounts();
  #total = 0;

  constructor(parts: ClientsParts, mirrored: MirrorClients) {
    this.#parts = parts;
    this.#mirrored = mirrored;
    this.#subnets = new Subnets(typeof mirrored === 'string' ? [] : mirrored);
  }

  enter({ headers, socket }: IncomingMessage): Visit {
    const address = canonicalIp(socket.remoteAddress ?? 'gone');
    const nothing = { isHostsContainerd: false, refusal: undefined, leave: () => {} };
    const plain = { address, ...nothing };
    if (headers[MIRRORED_HEADER.toLowerCase()] !== undefined)
      return { ...plain, role: 'peer', needsKey: true };
    if (this.#parts.own.has(socket.remoteAddress)) {
      if (this.#parts.isUsers(socket)) return { ...plain, role: 'client', needsKey: false };
      const isHostsContainerd = headers['user-agent']?.startsWith(CONTAINERD) === true;
      return { ...plain, role: 'host', isHostsContainerd, needsKey: false };
    }
    const isListed = this.#mirrored === 'any' || this.#subnets.has(address);
    const reason = isListed ? this.#overload(address) : this.#unlisted;
    if (reason !== undefined) {
      const refusal = this.#refusal(address, reason);
      return { ...plain, role: 'unmirrored', needsKey: !isListed, refusal };
    }
    this.#count(address, 1);
    return { ...plain, role: 'client', needsKey: false, leave: () => this.#count(address, -1) };
  }

  /** Strangers do not learn which addresses are listed. */
  get #unlisted(): string {
    return this.#mirrored === 'host' ? '--mirror-clients is host' : 'it is not in --mirror-clients';
  }

  #overload(address: string): string | undefined {
    if (this.#total >= MAX_REQUESTS)
      return `${MAX_REQUESTS} requests of other hosts are being answered already`;
    const own = this.#answering.of(address);
    if (own < MAX_REQUESTS_PER_ADDRESS) return undefined;
    return `${MAX_REQUESTS_PER_ADDRESS} of its requests are being answered already`;
  }

  #refusal(address: string, why: string): Refusal {
    const reason = `not mirrored for ${address}: ${why}`;
    const tell = () => {
      const notTold = this.#lines.tell(address);
      if (notTold !== undefined) this.#parts.log.info('client not mirrored', { reason, notTold });
    };
    return { reason, tell };
  }

  #count(address: string, change: 1 | -1): void {
    this.#total += change;
    this.#answering.add(address, change);
  }
}

/** How `ctr`, nerdctl and CRI name themselves, of every version. */
const CONTAINERD = 'containerd/';

/**
 * A client that does not read was seen to hold 5.4 MB in the kernel, most of it what the peer has
 * sent, and a buffer of 1 MiB: 32 come to 210 MB of the unit's 512 MiB.
 */
const MAX_REQUESTS = 32;

/** Five pulls of three layers each. */
const MAX_REQUESTS_PER_ADDRESS = 16;

const LOG_MS = 60_000;
/** Addresses per period: there can be any number of them. */
const MAX_LINES = 16;
