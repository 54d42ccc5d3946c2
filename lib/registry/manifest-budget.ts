import { KeyedCounts } from '../base/keyed-counts.ts';
import type { Call } from './call.ts';
import { MAX_MANIFESTS_BYTES, MAX_MANIFESTS_BYTES_PER_ADDRESS } from './constants.ts';

/** True when this many bytes may be read into memory for a request. */
export type AdmitBytes = (bytes: number) => boolean;

/**
 * Bounds the bytes of manifests that are in memory for other hosts. Without it, 250 connections
 * that each asked for a blob of 4 MiB under `/manifests/`, and did not read the answer, held 3 GB.
 * The number of requests is bounded by the connections (lib/http/connection-bounds.ts).
 */
export class ManifestBudget {
  /** Bytes in memory, by address. */
  readonly #held = new KeyedCounts();
  #total = 0;

  /** Admits bytes for one request, and counts them until its answer is over. */
  admitFor(call: Call): AdmitBytes {
    if (call.role === 'host') return admitAny;
    return (bytes) => {
      const held = this.#held.of(call.address);
      if (call.signal.aborted || call.response.destroyed) return false;
      if (
        held + bytes > MAX_MANIFESTS_BYTES_PER_ADDRESS ||
        this.#total + bytes > MAX_MANIFESTS_BYTES
      )
        return false;
      this.#count(call.address, bytes);
      call.response.once('close', () => this.#count(call.address, -bytes));
      return true;
    };
  }

  #count(address: string, bytes: number): void {
    this.#total += bytes;
    this.#held.add(address, bytes);
  }
}

/** For requests of this host itself. */
export const admitAny: AdmitBytes = () => true;
