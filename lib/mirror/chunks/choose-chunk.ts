import type { BodyChunk, Giver } from './body-chunk.ts';
import { LATE_MS } from './constants.ts';

/** The chunks that may be asked for now. */
export interface WindowView {
  /** The chunk that the client waits for. */
  readonly head: number;
  /** The first that is not to be asked for yet. */
  readonly end: number;
  readonly sources: ReadonlySet<Giver>;
  /** Undefined: nobody was asked for it yet. */
  get(index: number): BodyChunk | undefined;
}

/**
 * The first chunk that this source is to give: one that nobody gives and that it has in time, or
 * one that is late and that it has sooner. Undefined: none now.
 */
export function chooseChunk(
  { head, end, sources, get }: WindowView,
  source: Giver,
): number | undefined {
  const rates = [...sources].map(({ progress }) => progress.rate() ?? 0);
  const sum = rates.reduce((all, rate) => all + rate, 0);
  const own = source.progress.rate();
  // A chunk of a slow source is one that the others do not come to before it is here.
  const isFast = own === undefined || own >= Math.max(...rates) / 2;
  const isInTime = (index: number) => isFast || sum / own <= index - head;
  for (let index = head; index < end; index += 1) {
    const chunk = get(index);
    if (chunk?.missing === 0) continue;
    if (chunk === undefined || chunk.sources.size === 0) {
      if (isInTime(index)) return index;
    } else if (isLate(chunk, source)) return index;
  }
  return undefined;
}

/** All that give the chunk need far longer for the rest than `source` does. */
function isLate(chunk: BodyChunk, source: Giver): boolean {
  const own = source.progress.rate();
  if (own === undefined || own === 0 || chunk.sources.has(source)) return false;
  const soonestMs = Math.min(...[...chunk.sources.keys()].map((other) => restMs(chunk, other)));
  return soonestMs > (2 * chunk.missing) / own + LATE_MS;
}

/** How long a source that gives the chunk needs for the rest, in milliseconds. */
export function restMs(chunk: BodyChunk, { progress }: Giver): number {
  const rate = progress.rate();
  return rate === undefined ? progress.askedMs : chunk.missing / rate;
}
