import type { Source } from './store.ts';

/** Reads all of a source of at most `limit` bytes. Rejects when it is larger, or as its reader does. */
export async function readWhole(
  source: Source,
  limit: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (source.size > limit) {
    throw new Error(`${source.digest} has ${source.size} bytes, more than ${limit}`);
  }
  const content = new Uint8Array(source.size);
  const reader = await source.open(signal);
  try {
    for (let position = 0; position < content.byteLength; ) {
      position += await reader.read(content.subarray(position), position, signal);
    }
    return content;
  } finally {
    await reader.close();
  }
}
