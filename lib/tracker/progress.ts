import type { Digest } from '../oci/digest.ts';
import type { ContentStore, InflightSources } from '../store/store.ts';
import type { PullProgress } from './pulls.ts';

/** A store that hangs must not hold up what the trackers are told of others. */
const DEADLINE_MS = 1_000;

/** How far a store is with a digest. Never rejects. */
export async function progressOf(
  store: Pick<ContentStore, 'source'> & InflightSources,
  digest: Digest,
): Promise<PullProgress> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  try {
    if (store.isBarred(digest)) return { state: 'spoilt' };
    const growing = await store.inflightSource(digest, signal);
    const have = await growing?.available(signal);
    if (growing !== undefined && have !== undefined && have < growing.size) {
      return { state: 'growing', have };
    }
    const isDone = (await store.source(digest, signal)) !== undefined;
    if (isDone) return { state: 'done' };
    return have === undefined ? { state: 'none' } : { state: 'growing', have };
  } catch {
    return { state: 'unknown' };
  }
}
