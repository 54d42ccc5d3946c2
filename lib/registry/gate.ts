import type { IncomingMessage } from 'node:http';
import { canonicalIp } from '../base/address.ts';
import type { Logger } from '../base/log.ts';
import { LogRateLimit } from '../base/log-rate-limit.ts';
import type { NetworkKeys } from '../network-key/network-key.ts';
import { proofOf, SIGNATURE_HEADER, verifyRequest } from '../network-key/signature.ts';

/** Proves to the peer that asked for a tag that its digest comes from a host with the network's key. */
export type Prove = (digest: string) => string;

export interface Passage {
  /** Why it may not pass, for a person; undefined when it may. */
  readonly denied?: string;
  /** In a closed network, for one that may. */
  readonly prove?: Prove;
}

/** Lets peers in that sign with a key of a closed network, and everybody into an open one. */
export class NetworkGate {
  readonly #log: Logger;
  readonly #keys: NetworkKeys | undefined;
  readonly #warnings = new LogRateLimit(WARN_MS, MAX_WARNINGS);

  /** Without `networkKeys` the network is open. */
  constructor(parts: { readonly log: Logger; readonly networkKeys?: NetworkKeys | undefined }) {
    this.#log = parts.log;
    this.#keys = parts.networkKeys;
  }

  /** For a request that is not of this host's containerd. */
  judge({ method = '', url = '', headers, socket }: IncomingMessage): Passage {
    if (this.#keys === undefined) return {};
    // Node joins what comes twice with a comma: then it has no form.
    const signature = headers[SIGNATURE_HEADER.toLowerCase()]?.toString();
    const verdict = verifyRequest(this.#keys.accepted(), { method, path: url }, signature);
    if (verdict.isValid) {
      const prove = (digest: string) => proofOf(verdict.key, verdict.signature, digest);
      return { prove };
    }
    const { reason } = verdict;
    const address = canonicalIp(socket.remoteAddress ?? 'gone');
    const notTold = this.#warnings.tell(address);
    if (notTold !== undefined) this.#log.warn('peer denied', { address, reason, notTold });
    return { denied: reason };
  }
}

const WARN_MS = 60_000;
/** Addresses per period: strangers can have any number of them. */
const MAX_WARNINGS = 16;
