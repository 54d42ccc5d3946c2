import type { Socket } from 'node:net';

/**
 * Ends a connection so that the client sees FIN, never RST: what was written is flushed first, and what the
 * client still sends is read and dropped until it has closed as well, because closing a socket with unread
 * bytes makes the kernel reset it. containerd fails the whole pull on a reset and loses nothing by a FIN.
 */
export function endCleanly(socket: Socket, lastWords?: string): void {
  // Ended already: more garbage from the same client, or an answer that closes by itself.
  if (socket.destroyed || socket.writableEnded) return;
  const linger = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(linger));
  // Errors of a connection that is given up are nobody's business, but unheard they end the process.
  socket.on('error', () => {});
  if (lastWords === undefined) socket.end();
  else socket.end(lastWords);
  socket.resume();
}

/** A client that has not closed by then is dropped. Go's closes at once when a body ends early. */
const LINGER_MS = 2_000;
