import { createHash } from 'node:crypto';
import { delay } from '../base/abortable.ts';
import type { Logger } from '../base/log.ts';
import { PeerFailure } from '../http/peer-failure.ts';
import { type Digest, hexOf } from '../oci/digest.ts';
import type { PeerEndpoint } from '../peers/endpoint.ts';
import type { Suspects } from '../peers/suspects.ts';
import { askPeer, type PeerRequestParts } from './ask.ts';
import {
  CHECK_PAUSE_MS,
  MAX_CHECK_MS,
  MAX_CHECKED_BYTES,
  MAX_WAITING_CHECKS,
} from './constants.ts';
import { checkBlob } from './expect.ts';

export interface SuspectChecksParts {
  readonly suspects: Suspects;
  readonly asker: PeerRequestParts;
  readonly log: Logger;
}

export interface SuspectCheck {
  readonly endpoint: PeerEndpoint;
  readonly digest: Digest;
  readonly path: string;
}

/**
 * Checks suspects apart from any pull: a suspect that offered a blob is asked for it some seconds
 * later, to see whether its bytes are right by now. One check runs at a time.
 */
export class SuspectChecks {
  readonly #parts: SuspectChecksParts;
  readonly #stopping = new AbortController();
  readonly #waiting = new Map<string, SuspectCheck>();
  #running: Promise<void> | undefined;

  constructor(parts: SuspectChecksParts) {
    this.#parts = parts;
  }

  /** Queues a check of a suspect that a request did not take a blob from. */
  offer(check: SuspectCheck): void {
    const { suspects } = this.#parts;
    if (!suspects.isAccused(check.endpoint) || !suspects.mayCheck(check.endpoint)) return;
    if (this.#stopping.signal.aborted) return;
    if (this.#waiting.size >= MAX_WAITING_CHECKS) return;
    this.#waiting.set(check.endpoint.peerId, check);
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the mirror was stopped'));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await delay(CHECK_PAUSE_MS, signal).catch(() => {});
      const [first] = this.#waiting;
      if (first === undefined || signal.aborted) return;
      this.#waiting.delete(first[0]);
      await this.#check(first[1], signal);
    }
  }

  /** Never rejects. */
  async #check(check: SuspectCheck, signal: AbortSignal): Promise<void> {
    const { suspects, log } = this.#parts;
    const { endpoint, digest } = check;
    const fields = { peer: endpoint.peerId, address: endpoint.address };
    try {
      const isRight = await this.#isRight(check, signal);
      if (isRight) suspects.clear(endpoint);
      else suspects.accuse(endpoint);
      const message = isRight ? 'a suspect has proved itself' : 'a suspect still sends wrong bytes';
      log.info(message, { ...fields, digest });
    } catch (error) {
      log.debug('a suspect could not be checked', { ...fields, digest, error });
    }
  }

  async #isRight({ endpoint, digest, path }: SuspectCheck, signal: AbortSignal): Promise<boolean> {
    const { asker } = this.#parts;
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(MAX_CHECK_MS)]);
    const { head, exchange } = await askPeer(endpoint, { method: 'GET', path }, asker, inTime);
    try {
      const { size } = checkBlob(head, undefined, undefined);
      if (size > MAX_CHECKED_BYTES)
        throw new PeerFailure('refused', `${size} bytes are too many to check`);
      const hash = createHash('sha256');
      for (let piece = await exchange.next(); piece !== undefined; piece = await exchange.next())
        hash.update(piece);
      return hash.digest('hex') === hexOf(digest);
    } finally {
      exchange.close();
    }
  }
}
