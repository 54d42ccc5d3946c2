import type { Source } from './store.ts';

/**
 * Reads a whole source of at most `limit` bytes. Rejects if it is larger or ends too early, or as
 * its reader does.
 */
export async function readAllBytes(
  source: Source,
  limit: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const { digest, size } = source;
  if (size > limit) throw new Error(`${digest} has ${size} bytes, more than ${limit}`);
  const content = Buffer.alloc(size);
  const reader = await source.open(signal);
  try {
    for (let position = 0; position < size; ) {
      const count = await reader.read(content.subarray(position), position, signal);
      if (count === 0) throw new Error(`${digest} ends at byte ${position} of ${size}`);
      position += count;
    }
    return content;
  } finally {
    await reader.close();
  }
}
