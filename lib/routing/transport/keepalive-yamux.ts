import { yamux } from '@chainsafe/libp2p-yamux';
import type { MultiaddrConnection, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface';
import { delay } from '../../base/abortable.ts';

/** What yamux's muxer has beside the interface. */
type Pinging = StreamMuxer & { ping(options: { signal: AbortSignal }): Promise<number> };

/**
 * Unless it is told, yamux keeps whatever it is given for a peer that does not read, and takes 16
 * MiB from one that sends: as much for each stream whose questions wait, of which there may be
 * hundreds. A window does not grow beyond the one that yamux begins with, the least that it takes.
 */
const STREAM_OPTIONS = {
  maxWriteBufferLength: 4 * 1024 * 1024,
  maxStreamWindowSize: 256 * 1024,
};

/** Sockets are closed after two minutes without a byte. */
const INTERVAL_MS = 30_000;
/** A busy peer, or a busy host of our own, may take this long before the connection counts as dead. */
const PING_MS = 8_000;
const PINGS = 2;

/**
 * yamux with a connection that ends when its other end is silent. libp2p's own monitor opens a stream on every
 * connection at the same moment, a millisecond each: 5,000 peers would stop the event loop for seconds. yamux's
 * keep-alive, a frame without a stream, notices and does nothing. Here each connection has its own time.
 */
export function keepAliveYamux(): () => StreamMuxerFactory {
  const create = yamux({ enableKeepAlive: false, streamOptions: STREAM_OPTIONS });
  return () => {
    const factory = create();
    const createStreamMuxer = (connection: MultiaddrConnection): StreamMuxer => {
      const muxer = factory.createStreamMuxer(connection) as Pinging;
      const closed = new AbortController();
      connection.addEventListener('close', () => closed.abort(), { once: true });
      void pingUntilClosed(muxer, connection, closed.signal);
      return muxer;
    };
    // Its other members, by which libp2p knows it, stay: a new object would have to name them all.
    return Object.create(factory, { createStreamMuxer: { value: createStreamMuxer } });
  };
}

/** Pings now and then until the connection is closed, and closes it when no answer comes. Never rejects. */
async function pingUntilClosed(
  muxer: Pinging,
  connection: MultiaddrConnection,
  closed: AbortSignal,
): Promise<void> {
  try {
    while (!closed.aborted) {
      await delay(INTERVAL_MS * (0.5 + Math.random() / 2), closed);
      if (!(await isAnswering(muxer, closed))) connection.abort(new Error('peer does not answer'));
    }
  } catch {
    // closed
  }
}

async function isAnswering(muxer: Pinging, closed: AbortSignal): Promise<boolean> {
  for (let ping = 0; ping < PINGS && !closed.aborted; ping++) {
    try {
      await muxer.ping({ signal: AbortSignal.timeout(PING_MS) });
      return true;
    } catch {
      // silent so far
    }
  }
  return closed.aborted;
}
