import { KeyedCounts } from '../base/keyed-counts.ts';
import type { Call } from './call.ts';

/** Whether so many bytes may be read into memory for a request. */
export type AdmitBytes = (bytes: number) => boolean;

/**
 * Bounds the manifests that are in memory for others than this host: 250 connections that each ask
 * for a blob of 4 MiB under `/manifests/`, and do not read the answer, held 3 GB. Requests at once
 * are bounded by their connections (lib/http/connection-bounds.ts).
 */
export class ManifestBudget {
  /** Bytes in memory, by address. */
  readonly #held = new KeyedCounts();
  #total = 0;

  /** What this request may read; it is counted until its answer is over. */
  admitFor(call: Call): AdmitBytes {
    if (call.role === 'host') return admitAny;
    return (bytes) => {
      const held = this.#held.of(call.address);
      if (call.signal.aborted || call.response.destroyed) return false;
      if (held + bytes > MAX_BYTES_PER_ADDRESS || this.#total + bytes > MAX_BYTES) return false;
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

/** For this host itself. */
export const admitAny: AdmitBytes = () => true;

/** Manifests have some KiB: eighty hosts that pull at once hold less than one MiB. */
const MAX_BYTES = 32 * 1024 * 1024;

/** Two of the largest. */
const MAX_BYTES_PER_ADDRESS = 8 * 1024 * 1024;
