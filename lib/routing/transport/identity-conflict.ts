import { join } from 'node:path';
import { ownIps } from '../../base/address.ts';
import { messageOf } from '../../base/errors.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import type { Instruments } from '../../base/instruments.ts';
import type { Logger } from '../../base/log.ts';
import { LogRateLimit } from '../../base/log-rate-limit.ts';
import { tcpMultiaddr } from '../../base/multiaddr.ts';
import { ipOf, isDialableIp, routerTcpAddress, tcpAddressOf } from '../wire-peer.ts';
import {
  CLAIM_AGAIN_MS,
  CLAIMS_PER_LOOK,
  CLONE_PROBE_MS,
  CONFLICT_FORGET_MS,
  CONFLICT_WARN_MS,
  MAX_CLAIMS,
  MAX_CLAIMS_QUEUED,
  MAX_CLONE_ADDRESSES,
  MAX_CONFLICT_WARNINGS,
} from './constants.ts';
import { KEY_FILE } from './identity.ts';
import type { Clone } from './instance-noise.ts';
import type { OwnPeer } from './own-peer.ts';

export interface IdentityConflictParts {
  readonly log: Logger;
  readonly instruments: Pick<Instruments, 'identityConflict'>;
  readonly self: OwnPeer;
}

/**
 * Dials a multiaddr. Bounded in time; rejects when no peer answers, and when the peer has our own
 * id.
 */
export type Dial = (address: string, signal: AbortSignal) => Promise<unknown>;

/**
 * Notices when another process has this node's key, as the clone of a host has: the two never
 * connect to each other, and peers reach one of them by chance. Only a handshake proves it. A
 * peer's claim that our id is at another address proves nothing, but that address is dialled.
 */
export class IdentityConflict {
  readonly #parts: IdentityConflictParts;
  readonly #dataDir: string;
  readonly #port: number;
  readonly #warnings = new LogRateLimit(CONFLICT_WARN_MS, MAX_CONFLICT_WARNINGS);
  /** Multiaddrs at which a clone was reached. */
  readonly #reached = new Set<string>();
  readonly #claims: string[] = [];
  readonly #tried = new ExpiringMap<true>(MAX_CLAIMS);
  #seenAt = Number.NEGATIVE_INFINITY;
  #probeAt = 0;
  #isSeen = false;
  #isLooking = false;

  /** `port`: of this node's router. A clone that connects to this node listens on the same one. */
  constructor(parts: IdentityConflictParts, dataDir: string, port: number) {
    this.#parts = parts;
    this.#dataDir = dataDir;
    this.#port = port;
    parts.instruments.identityConflict.set({}, 0);
  }

  /** A handshake proved that another process has our key. */
  seen({ address, direction }: Clone): void {
    const { log, instruments, self } = this.#parts;
    const ip = ipOf(address);
    const port = direction === 'outbound' ? (tcpAddressOf(address)?.port ?? 0) : this.#port;
    const endpoint = tcpMultiaddr(ip, port);
    if (direction === 'inbound') this.#queueClaim(ip, port);
    else if (this.#reached.size < MAX_CLONE_ADDRESSES) this.#reached.add(endpoint);
    this.#seenAt = performance.now();
    this.#isSeen = true;
    instruments.identityConflict.set({}, 1);
    const notTold = this.#warnings.admit(ip);
    if (notTold === undefined) return;
    const key = join(this.#dataDir, KEY_FILE);
    log.warn(
      'another host has the identity of this one: the two never meet, and peers reach one of them by chance',
      {
        peer: self.peerId,
        own: self.announced,
        other: direction === 'outbound' ? endpoint : ip,
        advice: `on one of the two: systemctl stop spegel && rm ${key} && systemctl start spegel`,
        notTold,
      },
    );
  }

  /** A peer claims that our id is at these addresses, in binary. */
  claimed(addresses: readonly Uint8Array[]): void {
    for (const bytes of addresses) {
      const address = routerTcpAddress(bytes);
      if (address !== undefined) this.#queueClaim(address.host, address.port);
    }
  }

  #queueClaim(ip: string, port: number): void {
    const { self } = this.#parts;
    const address = tcpMultiaddr(ip, port);
    if (!isDialableIp(ip, self.isOnLoopback) || self.announced.includes(address)) return;
    if (port === this.#port && ownIps().has(ip)) return;
    if (this.#claims.length >= MAX_CLAIMS_QUEUED || this.#tried.get(address) === true) return;
    this.#tried.set(address, true, CLAIM_AGAIN_MS);
    this.#claims.push(address);
  }

  /**
   * Dials claimed addresses and those where a clone was reached. To be called every few seconds;
   * never rejects.
   */
  async look(dial: Dial, signal: AbortSignal): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      for (const address of this.#claims.splice(0, CLAIMS_PER_LOOK)) {
        await this.#isThere(address, dial, signal);
      }
      if (performance.now() >= this.#probeAt) await this.#probe(dial, signal);
      if (
        this.#isSeen &&
        !signal.aborted &&
        performance.now() >= this.#seenAt + CONFLICT_FORGET_MS
      ) {
        this.#end();
      }
    } finally {
      this.#isLooking = false;
    }
  }

  async #probe(dial: Dial, signal: AbortSignal): Promise<void> {
    this.#probeAt = performance.now() + CLONE_PROBE_MS;
    const before = [...this.#reached];
    for (const address of before) {
      if (!(await this.#isThere(address, dial, signal))) this.#reached.delete(address);
    }
    // The last clone is gone, or has another identity now.
    if (before.length > 0 && this.#reached.size === 0 && !signal.aborted) this.#end();
  }

  /** Whether a clone is at an address. Never rejects. */
  async #isThere(address: string, dial: Dial, signal: AbortSignal): Promise<boolean> {
    const before = this.#seenAt;
    await dial(address, signal).catch((error: unknown) => {
      this.#parts.log.debug('looked for a clone', { address, error: messageOf(error) });
    });
    return this.#seenAt > before;
  }

  #end(): void {
    const { log, instruments } = this.#parts;
    this.#isSeen = false;
    this.#reached.clear();
    instruments.identityConflict.set({}, 0);
    log.info('no other host with the identity of this one is seen any more');
  }
}
