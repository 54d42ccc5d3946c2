import type { Connection, Stream } from '@libp2p/interface';
import { canonicalIp } from '../../base/address.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import {
  ANSWERS_UNREAD_MS,
  INBOUND_STREAM_IDLE_MS,
  MAX_ANSWERS_UNREAD_BYTES,
  MAX_QUESTIONS_QUEUED_BYTES,
} from './constants.ts';
import { type Chunk, FrameReader, frame } from './frames.ts';
import { QuestionBudget } from './question-budget.ts';

export interface RpcService {
  readonly log: Logger;
  /** Name of the protocol, for log lines. */
  readonly name: string;
  readonly maxRequestBytes: number;
  /** Shared by all protocols. */
  readonly budget: QuestionBudget;
  /** Answers a peer's message; undefined for no answer. An error that it throws ends the stream. */
  readonly answer: (from: string, message: Uint8Array) => Uint8Array | undefined;
}

/**
 * Serves one stream of framed messages until the peer closes it, sends nothing for a minute, or
 * sends a message that cannot be answered. Answers go out in the order of the messages. Never
 * rejects.
 */
export async function serveRpc(
  stream: Stream,
  connection: Connection,
  { log, name, maxRequestBytes, budget, answer }: RpcService,
): Promise<void> {
  const idle = setTimeout(() => stream.abort(new Error('idle')), INBOUND_STREAM_IDLE_MS);
  const closed = new AbortController();
  stream.addEventListener('close', () => closed.abort(), { once: true });
  const from = connection.remotePeer.toString();
  const ip = canonicalIp(connection.remoteAddr.getComponents()[0]?.value ?? '');
  const asker = QuestionBudget.askerName(ip, from);
  let release = () => {};
  try {
    release = budget.openStream(asker);
    const reader = new FrameReader(maxRequestBytes);
    for await (const chunk of chunksOf(stream)) {
      idle.refresh();
      for (const bytes of reader.push(chunk)) {
        await budget.waitForTurn(asker, closed.signal);
        const startedAt = performance.now();
        const answered = answer(from, bytes);
        if (answered !== undefined) stream.send(frame(answered));
        budget.spend(asker, performance.now() - startedAt);
        await untilRead(stream, closed.signal);
      }
    }
    await stream.close({ signal: AbortSignal.timeout(ANSWERS_UNREAD_MS) });
  } catch (error) {
    log.debug(`${name} stream ended`, { peer: from, error: messageOf(error) });
    stream.abort(error instanceof Error ? error : new Error(String(error)));
  } finally {
    clearTimeout(idle);
    release();
  }
}

/**
 * Waits until the peer has read its answers: those of a peer that never reads would fill our
 * memory. The library's `onDrain` is not used, because its promise stays fulfilled after the first
 * time.
 */
async function untilRead(stream: Stream, closed: AbortSignal): Promise<void> {
  while (stream.writeBufferLength > MAX_ANSWERS_UNREAD_BYTES) {
    const signal = AbortSignal.any([closed, AbortSignal.timeout(ANSWERS_UNREAD_MS)]);
    await new Promise<void>((resolve, reject) => {
      // Runs after the stream's own listener, and after what that has done in a microtask.
      stream.addEventListener('drain', () => setImmediate(resolve), { once: true, signal });
      signal.addEventListener('abort', () => reject(new Error('answers are not read')), {
        once: true,
      });
    });
  }
}

/**
 * Yields the bytes of a stream in pieces until the peer ends them, and makes a fast peer wait. The
 * library's own iterator takes everything that arrives into memory, however slowly it is read.
 * Throws when the stream is reset or aborted.
 */
async function* chunksOf(stream: Stream): AsyncGenerator<Chunk> {
  const queue: Chunk[] = [];
  let queuedBytes = 0;
  let hasEnded = false;
  let problem: Error | undefined;
  let changed = Promise.withResolvers<void>();
  const onMessage = ({ data }: { readonly data: Chunk }) => {
    queue.push(data);
    queuedBytes += data.byteLength;
    if (queuedBytes > MAX_QUESTIONS_QUEUED_BYTES && stream.readStatus === 'readable')
      stream.pause();
    changed.resolve();
  };
  const onEnd = () => {
    hasEnded = true;
    changed.resolve();
  };
  const onClose = ({ error }: { readonly error?: Error | undefined }) => {
    problem = error;
    onEnd();
  };
  stream.addEventListener('message', onMessage);
  stream.addEventListener('end', onEnd);
  stream.addEventListener('close', onClose);
  if (stream.status !== 'open' && stream.readBufferLength === 0) hasEnded = true;
  try {
    for (;;) {
      const chunk = queue.shift();
      if (chunk !== undefined) {
        queuedBytes -= chunk.byteLength;
        yield chunk;
      } else if (problem !== undefined) {
        throw problem;
      } else if (hasEnded) {
        return;
      } else {
        changed = Promise.withResolvers<void>();
        if (stream.readStatus === 'paused') stream.resume();
        if (queue.length === 0 && !hasEnded) await changed.promise;
      }
    }
  } finally {
    stream.removeEventListener('message', onMessage);
    stream.removeEventListener('end', onEnd);
    stream.removeEventListener('close', onClose);
  }
}
