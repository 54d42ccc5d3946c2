import type { Connection, Stream } from '@libp2p/interface';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { FrameReader, frame } from './frames.ts';

export interface FrameService {
  readonly log: Logger;
  /** Of the protocol, for log lines. */
  readonly name: string;
  readonly maxRequestBytes: number;
  /** Answers a peer's message, or undefined for none. What it throws ends the stream. */
  readonly answer: (from: string, message: Uint8Array) => Uint8Array | undefined;
}

/** As in Go: an idle stream costs its peer nothing to open again. */
const IDLE_MS = 60_000;
/** A peer that does not read its answers for so long gets no more of them. */
const DRAIN_MS = 10_000;

/**
 * Serves one stream of framed messages until the peer closes it, is idle for a minute or sends what cannot be
 * answered. Answers go out in the order of the messages. Never rejects.
 */
export async function serveFrames(
  stream: Stream,
  connection: Connection,
  { log, name, maxRequestBytes, answer }: FrameService,
): Promise<void> {
  const idle = setTimeout(() => stream.abort(new Error('idle')), IDLE_MS);
  const from = connection.remotePeer.toString();
  try {
    const reader = new FrameReader(maxRequestBytes);
    for await (const chunk of stream) {
      idle.refresh();
      for (const bytes of reader.push(chunk)) {
        const answered = answer(from, bytes);
        if (answered !== undefined) await send(stream, frame(answered));
      }
    }
    await stream.close({ signal: AbortSignal.timeout(DRAIN_MS) });
  } catch (error) {
    log.debug(`${name} stream ended`, { peer: from, error: messageOf(error) });
    stream.abort(error instanceof Error ? error : new Error(String(error)));
  } finally {
    clearTimeout(idle);
  }
}

/** Waits until the peer reads: an asker that never does would fill our memory with answers. */
async function send(stream: Stream, bytes: Uint8Array): Promise<void> {
  if (stream.send(bytes)) return;
  stream.pause();
  await stream.onDrain({ signal: AbortSignal.timeout(DRAIN_MS) });
  stream.resume();
}
