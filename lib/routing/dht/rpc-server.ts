import type { Connection, Stream } from '@libp2p/interface';
import { canonicalIp } from '../../base/address.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { FrameReader, frame } from './frames.ts';
import { QuestionBudget } from './question-budget.ts';
import { chunksOf } from './stream-chunks.ts';

export interface RpcService {
  readonly log: Logger;
  /** Of the protocol, for log lines. */
  readonly name: string;
  readonly maxRequestBytes: number;
  /** Shared by all protocols. */
  readonly budget: QuestionBudget;
  /** Answers a peer's message, or undefined for none. What it throws ends the stream. */
  readonly answer: (from: string, message: Uint8Array) => Uint8Array | undefined;
}

/** As in Go: an idle stream costs its peer nothing to open again. */
const IDLE_MS = 60_000;
/** A peer that does not read its answers for so long gets no more of them. */
const DRAIN_MS = 10_000;
/** Answers that a peer has not read yet. */
const MAX_UNREAD_BYTES = 131_072;

/**
 * Serves one stream of framed messages until the peer closes it, is idle for a minute or sends what cannot be
 * answered. Answers go out in the order of the messages. Never rejects.
 */
export async function serveRpc(
  stream: Stream,
  connection: Connection,
  { log, name, maxRequestBytes, budget, answer }: RpcService,
): Promise<void> {
  const idle = setTimeout(() => stream.abort(new Error('idle')), IDLE_MS);
  const closed = new AbortController();
  stream.addEventListener('close', () => closed.abort(), { once: true });
  const from = connection.remotePeer.toString();
  const ip = canonicalIp(connection.remoteAddr.getComponents()[0]?.value ?? '');
  const asker = QuestionBudget.askerName(ip, from);
  let leave = () => {};
  try {
    leave = budget.openStream(asker);
    const reader = new FrameReader(maxRequestBytes);
    for await (const chunk of chunksOf(stream)) {
      idle.refresh();
      for (const bytes of reader.push(chunk)) {
        await budget.waitForTurn(asker, closed.signal);
        const started = performance.now();
        const answered = answer(from, bytes);
        if (answered !== undefined) stream.send(frame(answered));
        budget.spend(asker, performance.now() - started);
        await untilRead(stream, closed.signal);
      }
    }
    await stream.close({ signal: AbortSignal.timeout(DRAIN_MS) });
  } catch (error) {
    log.debug(`${name} stream ended`, { peer: from, error: messageOf(error) });
    stream.abort(error instanceof Error ? error : new Error(String(error)));
  } finally {
    clearTimeout(idle);
    leave();
  }
}

/**
 * Waits until the peer reads: an asker that never does would fill our memory with answers. Not by
 * the library's `onDrain`, whose promise is fulfilled for ever once it was.
 */
async function untilRead(stream: Stream, closed: AbortSignal): Promise<void> {
  while (stream.writeBufferLength > MAX_UNREAD_BYTES) {
    const signal = AbortSignal.any([closed, AbortSignal.timeout(DRAIN_MS)]);
    await new Promise<void>((resolve, reject) => {
      // After its own listener, and what that has done in a microtask.
      stream.addEventListener('drain', () => setImmediate(resolve), { once: true, signal });
      signal.addEventListener('abort', () => reject(new Error('answers are not read')), {
        once: true,
      });
    });
  }
}
