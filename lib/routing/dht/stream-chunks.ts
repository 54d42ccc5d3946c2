import type { Stream } from '@libp2p/interface';
import type { Chunk } from './frames.ts';

/** What is kept of a peer that sends faster than it is answered; beyond, its window closes. */
const MAX_QUEUED_BYTES = 65_536;

/**
 * The bytes of a stream, in pieces, until the peer ends them. The library's own iterator takes all
 * that comes into memory, whatever is made of it; this one has the peer wait. Throws when the
 * stream is reset or aborted.
 */
export async function* chunksOf(stream: Stream): AsyncGenerator<Chunk> {
  const queue: Chunk[] = [];
  let queued = 0;
  let isOver = false;
  let problem: Error | undefined;
  let changed = Promise.withResolvers<void>();
  const onMessage = ({ data }: { readonly data: Chunk }) => {
    queue.push(data);
    queued += data.byteLength;
    if (queued > MAX_QUEUED_BYTES && stream.readStatus === 'readable') stream.pause();
    changed.resolve();
  };
  const onEnd = () => {
    isOver = true;
    changed.resolve();
  };
  const onClose = ({ error }: { readonly error?: Error | undefined }) => {
    problem = error;
    onEnd();
  };
  stream.addEventListener('message', onMessage);
  stream.addEventListener('end', onEnd);
  stream.addEventListener('close', onClose);
  if (stream.status !== 'open' && stream.readBufferLength === 0) isOver = true;
  try {
    for (;;) {
      const chunk = queue.shift();
      if (chunk !== undefined) {
        queued -= chunk.byteLength;
        yield chunk;
      } else if (problem !== undefined) {
        throw problem;
      } else if (isOver) {
        return;
      } else {
        changed = Promise.withResolvers<void>();
        if (stream.readStatus === 'paused') stream.resume();
        if (queue.length === 0 && !isOver) await changed.promise;
      }
    }
  } finally {
    stream.removeEventListener('message', onMessage);
    stream.removeEventListener('end', onEnd);
    stream.removeEventListener('close', onClose);
  }
}
