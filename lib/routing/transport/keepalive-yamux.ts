import { yamux } from '@chainsafe/libp2p-yamux';
import type { MultiaddrConnection, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface';
import { delay } from '../../base/abortable.ts';
import {
  KEEPALIVE_MS,
  KEEPALIVE_PING_MS,
  KEEPALIVE_PINGS,
  MAX_STREAM_UNSENT_BYTES,
  MAX_STREAM_WINDOW_BYTES,
} from './constants.ts';
import { batchFrames, decodeWithoutErrors, sendFewWindowUpdates } from './frame-batches.ts';

/** A member of yamux's muxer that libp2p's interface does not declare. */
type PingMuxer = StreamMuxer & { ping(options: { signal: AbortSignal }): Promise<number> };

const STREAM_OPTIONS = {
  maxWriteBufferLength: MAX_STREAM_UNSENT_BYTES,
  maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES,
};

/**
 * yamux that pings each connection and closes it when the other end is silent. libp2p's own monitor
 * opens a stream on every connection at the same moment, a millisecond each: 5,000 peers would stop
 * the event loop for seconds. yamux's own keep-alive, a frame without a stream, notices a silent
 * end, but does not close the connection.
 */
export function keepAliveYamux(): () => StreamMuxerFactory {
  const create = yamux({ enableKeepAlive: false, streamOptions: STREAM_OPTIONS });
  return () => {
    const factory = create();
    const createStreamMuxer = (connection: MultiaddrConnection): StreamMuxer => {
      const muxer = factory.createStreamMuxer(connection) as PingMuxer;
      batchFrames(muxer, connection);
      decodeWithoutErrors(connection);
      sendFewWindowUpdates(muxer);
      const closed = new AbortController();
      connection.addEventListener('close', () => closed.abort(), { once: true });
      void pingUntilClosed(muxer, connection, closed.signal);
      return muxer;
    };
    // Inherits the factory's other members, some of which are symbols of libp2p.
    return Object.create(factory, { createStreamMuxer: { value: createStreamMuxer } });
  };
}

/** Pings at random times, so that connections do not ping in step. Never rejects. */
async function pingUntilClosed(
  muxer: PingMuxer,
  connection: MultiaddrConnection,
  closed: AbortSignal,
): Promise<void> {
  try {
    while (!closed.aborted) {
      await delay(KEEPALIVE_MS * (0.5 + Math.random() / 2), closed);
      if (!(await isAnswering(muxer, closed))) connection.abort(new Error('peer does not answer'));
    }
  } catch {
    // The connection is closed.
  }
}

async function isAnswering(muxer: PingMuxer, closed: AbortSignal): Promise<boolean> {
  for (let ping = 0; ping < KEEPALIVE_PINGS && !closed.aborted; ping++) {
    try {
      await muxer.ping({ signal: AbortSignal.timeout(KEEPALIVE_PING_MS) });
      return true;
    } catch {
      // No answer to this ping.
    }
  }
  return closed.aborted;
}
