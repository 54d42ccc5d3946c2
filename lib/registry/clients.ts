import type { IncomingMessage } from 'node:http';
import { canonicalIp } from '../base/address.ts';
import { KeyedCounts } from '../base/keyed-counts.ts';
import type { Logger } from '../base/log.ts';
import { LogRateLimit } from '../base/log-rate-limit.ts';
import { MIRRORED_HEADER, SIGNATURE_HEADER } from '../base/spegel-headers.ts';
import { type Subnet, Subnets } from '../base/subnet.ts';
import type { ConnectedClient } from '../http/server.ts';
import type { NetworkKeys } from '../network-key/network-key.ts';
import { proofOf, verifyRequest } from '../network-key/signature.ts';
import {
  LOG_PERIOD_MS,
  MAX_LOGGED_ADDRESSES,
  MAX_MIRRORED_REQUESTS,
  MAX_MIRRORED_REQUESTS_PER_ADDRESS,
} from './constants.ts';

/** Where a request comes from, which decides how it is answered. */
export type ClientRole =
  /**
   * A process of this host, by its address. It is mirrored, and what it gets may land in this
   * host's store.
   */
  | 'host'
  /**
   * A client on another host that is mirrored: a container or VM with an address of its own, a host
   * without Spegel.
   */
  | 'client'
  /** A peer, by its header alone. It gets local content, so that requests never go in circles. */
  | 'peer'
  /** A client on another host that is not mirrored. It gets local content. */
  | 'unmirrored';

/** Which clients on other hosts are mirrored: any, none (`host`), or those in these subnets. */
export type MirrorClients = 'any' | 'host' | readonly Subnet[];

/** Why a client on another host is not mirrored. */
export interface Refusal {
  /** For a person; does not end a sentence. */
  readonly reason: string;
  /** Logs the refusal, rate-limited. Called when the client did not get what it asked for. */
  log(): void;
}

/** Proves to the peer that asked for a tag that this digest comes from a host with the key. */
export type ProveDigest = (digest: string) => string;

/** The sender of one request, while it is answered. */
export interface Requester {
  readonly role: ClientRole;
  /** Canonical. */
  readonly address: string;
  /** Of role `host`, and the client calls itself containerd. */
  readonly isHostsContainerd: boolean;
  /** In a closed network its requests need a signature. */
  readonly needsKey: boolean;
  /** Of role `unmirrored` only. */
  readonly refusal: Refusal | undefined;
  /** Why a closed network does not let it in, for a person; undefined: it is let in. */
  readonly denied?: string;
  /** In a closed network, when its signature is right. */
  readonly prove?: ProveDigest;
  /** To be called once the request is answered. */
  release(): void;
}

export interface ClientsParts {
  readonly log: Logger;
  readonly own: { has(address: string | undefined): boolean };
  /** Undefined: the network is open. */
  readonly networkKeys?: NetworkKeys | undefined;
}

/** Tells the role of each request, checks its key, and limits what other hosts get at once. */
export class Clients {
  readonly #parts: ClientsParts;
  readonly #mirrored: MirrorClients;
  readonly #subnets: Subnets;
  readonly #refusalLog = new LogRateLimit(LOG_PERIOD_MS, MAX_LOGGED_ADDRESSES);
  readonly #denialLog = new LogRateLimit(LOG_PERIOD_MS, MAX_LOGGED_ADDRESSES);
  /** Requests of mirrored clients that are being answered, by address. */
  readonly #answering = new KeyedCounts();
  #total = 0;

  constructor(parts: ClientsParts, mirrored: MirrorClients) {
    this.#parts = parts;
    this.#mirrored = mirrored;
    this.#subnets = new Subnets(typeof mirrored === 'string' ? [] : mirrored);
  }

  /** `isProbe`: a health check, which needs no key. */
  enter(
    request: IncomingMessage,
    client: Pick<ConnectedClient, 'isOtherUser'>,
    isProbe = false,
  ): Requester {
    const requester = this.#requesterOf(request, client);
    if (!requester.needsKey || isProbe) return requester;
    return { ...requester, ...this.#checkKey(request, requester.address) };
  }

  #requesterOf(
    { headers, socket }: IncomingMessage,
    client: Pick<ConnectedClient, 'isOtherUser'>,
  ): Requester {
    const address = canonicalIp(socket.remoteAddress ?? 'gone');
    const nothing = { isHostsContainerd: false, refusal: undefined, release: () => {} };
    const plain = { address, ...nothing };
    if (headers[MIRRORED_HEADER.toLowerCase()] !== undefined)
      return { ...plain, role: 'peer', needsKey: true };
    if (this.#parts.own.has(socket.remoteAddress)) {
      // Mirrored like a client on another host. Otherwise any user could have a tag count as
      // failed, a layer count as a manifest, and this host count as one that downloads.
      if (client.isOtherUser()) return { ...plain, role: 'client', needsKey: false };
      const isHostsContainerd = headers['user-agent']?.startsWith(CONTAINERD_AGENT) === true;
      return { ...plain, role: 'host', isHostsContainerd, needsKey: false };
    }
    const isListed = this.#mirrored === 'any' || this.#subnets.has(address);
    const reason = isListed ? this.#overload(address) : this.#unlistedReason;
    if (reason !== undefined) {
      const refusal = this.#refusal(address, reason);
      return { ...plain, role: 'unmirrored', needsKey: !isListed, refusal };
    }
    this.#count(address, 1);
    return { ...plain, role: 'client', needsKey: false, release: () => this.#count(address, -1) };
  }

  #checkKey(
    { method = '', url = '', headers }: IncomingMessage,
    address: string,
  ): Pick<Requester, 'denied' | 'prove'> {
    const { networkKeys, log } = this.#parts;
    if (networkKeys === undefined) return {};
    // Node joins a header that comes twice with a comma, and the result is malformed.
    const signature = headers[SIGNATURE_HEADER.toLowerCase()]?.toString();
    const verdict = verifyRequest(networkKeys.accepted(), { method, path: url }, signature);
    if (verdict.isValid) {
      return { prove: (digest) => proofOf(verdict.key, verdict.signature, digest) };
    }
    const { reason } = verdict;
    const notTold = this.#denialLog.admit(address);
    if (notTold !== undefined) log.warn('peer denied', { address, reason, notTold });
    return { denied: reason };
  }

  /** Does not say which addresses are listed: other hosts read it. */
  get #unlistedReason(): string {
    return this.#mirrored === 'host' ? '--mirror-clients is host' : 'it is not in --mirror-clients';
  }

  #overload(address: string): string | undefined {
    if (this.#total >= MAX_MIRRORED_REQUESTS)
      return `${MAX_MIRRORED_REQUESTS} requests of other hosts are being answered already`;
    const own = this.#answering.of(address);
    if (own < MAX_MIRRORED_REQUESTS_PER_ADDRESS) return undefined;
    return `${MAX_MIRRORED_REQUESTS_PER_ADDRESS} of its requests are being answered already`;
  }

  #refusal(address: string, why: string): Refusal {
    const reason = `not mirrored for ${address}: ${why}`;
    const log = () => {
      const notTold = this.#refusalLog.admit(address);
      if (notTold !== undefined) this.#parts.log.info('client not mirrored', { reason, notTold });
    };
    return { reason, log };
  }

  #count(address: string, change: 1 | -1): void {
    this.#total += change;
    this.#answering.add(address, change);
  }
}

/** How `ctr`, nerdctl and CRI of every version begin their User-Agent. */
const CONTAINERD_AGENT = 'containerd/';
