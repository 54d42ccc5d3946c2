import type { Digest } from '../oci/digest.ts';
import type { ContentStore, InflightSources } from '../store/store.ts';
import { PROGRESS_DEADLINE_MS } from './constants.ts';

/** How far this host is with a digest. */
export type PullProgress =
  | { readonly state: 'inflight'; readonly have: number }
  /** It is in the store. `size`: in bytes. */
  | { readonly state: 'done'; readonly size: number }
  /** It is neither in the store nor in flight. */
  | { readonly state: 'none' }
  /** All its bytes came, and they were wrong. */
  | { readonly state: 'spoilt' }
  /** The store did not answer in time, or the disk failed. */
  | { readonly state: 'unknown' };

/**
 * How far a store is with a digest. `known`: only whether it is complete, without a look at what is
 * being downloaded. Never rejects.
 */
export async function progressOf(
  store: Pick<ContentStore, 'source'> & InflightSources,
  digest: Digest,
  which?: 'known',
): Promise<PullProgress> {
  if (store.isBarred(digest)) return { state: 'spoilt' };
  const size = store.completeSize(digest);
  if (size !== undefined) return { state: 'done', size };
  if (which === 'known') return { state: 'unknown' };
  const signal = AbortSignal.timeout(PROGRESS_DEADLINE_MS);
  try {
    const inflight = await store.inflightSource(digest, signal);
    const have = await inflight?.available(signal);
    if (inflight !== undefined && have !== undefined && have < inflight.size) {
      return { state: 'inflight', have };
    }
    const source = await store.source(digest, signal);
    if (source !== undefined) return { state: 'done', size: source.size };
    return have === undefined ? { state: 'none' } : { state: 'inflight', have };
  } catch {
    return { state: 'unknown' };
  }
}
