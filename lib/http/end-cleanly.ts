import type { Socket } from 'node:net';
import { LINGER_MS } from './constants.ts';

/**
 * Ends a connection so that the client sees FIN, never RST. containerd fails the whole pull on a
 * reset, and loses nothing by a FIN. What was written is sent first. What the client still sends is
 * read and dropped until it closes as well: a socket that is closed with unread bytes is reset by
 * the kernel.
 */
export function endCleanly(socket: Socket, lastWords?: string): void {
  // Ended already: the client sent more garbage, or the answer closes by itself.
  if (socket.destroyed || socket.writableEnded) return;
  const linger = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(linger));
  // Without a listener, an error of this connection would end the process.
  socket.on('error', () => {});
  if (lastWords === undefined) socket.end();
  else socket.end(lastWords);
  socket.resume();
}
