import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { canonicalIp, ownIps } from '../../base/address.ts';
import { messageOf } from '../../base/errors.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import type { Instruments } from '../../base/instruments.ts';
import type { Logger } from '../../base/log.ts';
import { LogRateLimit } from '../../base/log-rate-limit.ts';
import { isDialableIp } from '../registry-address.ts';
import { routerAddress } from '../wire-peer.ts';
import { KEY_FILE } from './identity.ts';
import type { Clone } from './instance-noise.ts';
import type { OwnPeer } from './own-peer.ts';

export interface IdentityConflictParts {
  readonly log: Logger;
  readonly instruments: Pick<Instruments, 'identityConflict'>;
  readonly self: OwnPeer;
}

/**
 * Dials a multiaddr; rejects when nobody is there, and for one who has our own id. Bounded in time.
 */
export type Dial = (address: string, signal: AbortSignal) => Promise<unknown>;

/**
 * A clone that cannot be dialled is looked for no longer than this: it comes by itself every few
 * minutes.
 */
const CONFLICT_FORGET_MS = 600_000;
/** How often one that was reached is dialled again, so that its end is noticed. */
const PROBE_MS = 30_000;
const MAX_REACHED = 8;
/** What peers claim is dialled once in so long, and so many per look. */
const CLAIM_MS = 600_000;
const MAX_CLAIMS = 256;
const MAX_QUEUED = 16;
const CLAIMS_PER_LOOK = 2;
const WARN_MS = 3_600_000;
const MAX_WARNINGS = 16;

/**
 * Knows whether another process has this node's key, as the clone of a host has: the two never
 * meet, and others meet one of them by chance. Only a handshake counts. What a peer says of our id
 * at another address is dialled now and then, and proves nothing by itself.
 */
export class IdentityConflict {
  readonly #parts: IdentityConflictParts;
  readonly #dataDir: string;
  readonly #port: number;
  readonly #warnings = new LogRateLimit(WARN_MS, MAX_WARNINGS);
  /** Multiaddrs where a clone was reached. */
  readonly #reached = new Set<string>();
  readonly #claims: string[] = [];
  readonly #tried = new ExpiringMap<true>(MAX_CLAIMS);
  #seenAt = Number.NEGATIVE_INFINITY;
  #probeAt = 0;
  #isSeen = false;
  #isLooking = false;

  /** `port`: where routers listen, unless one says otherwise. */
  constructor(parts: IdentityConflictParts, dataDir: string, port: number) {
    this.#parts = parts;
    this.#dataDir = dataDir;
    this.#port = port;
    parts.instruments.identityConflict.set({}, 0);
  }

  /** A handshake has proved that another process has our key. */
  seen({ address, direction }: Clone): void {
    const { log, instruments, self } = this.#parts;
    const [where, tcp] = address.getComponents();
    const ip = canonicalIp(where?.value ?? '');
    const port = direction === 'outbound' ? Number(tcp?.value) : this.#port;
    const endpoint = addressOf(ip, port);
    if (direction === 'inbound') this.#queueClaim(ip, port);
    else if (this.#reached.size < MAX_REACHED) this.#reached.add(endpoint);
    this.#seenAt = performance.now();
    this.#isSeen = true;
    instruments.identityConflict.set({}, 1);
    const notTold = this.#warnings.admit(ip);
    if (notTold === undefined) return;
    const key = join(this.#dataDir, KEY_FILE);
    log.warn(
      'another host has the identity of this one: the two never meet, and peers reach one of them by chance',
      {
        peerId: self.text,
        own: self.announced,
        other: direction === 'outbound' ? endpoint : ip,
        advice: `on one of the two: systemctl stop spegel && rm ${key} && systemctl start spegel`,
        notTold,
      },
    );
  }

  /** Somebody says that our id is at these addresses, in binary. */
  claimed(addresses: readonly Uint8Array[]): void {
    for (const bytes of addresses) {
      const [, , ip = '', , port] = routerAddress(bytes)?.split('/') ?? [];
      if (ip !== '') this.#queueClaim(canonicalIp(ip), Number(port));
    }
  }

  #queueClaim(ip: string, port: number): void {
    const { self } = this.#parts;
    const address = addressOf(ip, port);
    if (!isDialableIp(ip, self.isOnLoopback) || self.announced.includes(address)) return;
    if (port === this.#port && ownIps().has(ip)) return;
    if (this.#claims.length >= MAX_QUEUED || this.#tried.get(address) === true) return;
    this.#tried.set(address, true, CLAIM_MS);
    this.#claims.push(address);
  }

  /** Dials what is claimed and what was reached. To be called every few seconds; never rejects. */
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
    this.#probeAt = performance.now() + PROBE_MS;
    const before = [...this.#reached];
    for (const address of before) {
      if (!(await this.#isThere(address, dial, signal))) this.#reached.delete(address);
    }
    // The last one is gone, or has another identity by now.
    if (before.length > 0 && this.#reached.size === 0 && !signal.aborted) this.#end();
  }

  /** Whether the clone is at an address. Never rejects. */
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

function addressOf(ip: string, port: number): string {
  return `/${isIPv6(ip) ? 'ip6' : 'ip4'}/${ip}/tcp/${port}`;
}
