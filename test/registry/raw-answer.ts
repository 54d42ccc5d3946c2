/** An answer as it comes over the wire, however it ends. */
import { connect } from 'node:net';
import type { Node } from '../mirror/support.ts';

export interface RawAnswer {
  readonly head: string;
  readonly body: Buffer;
}

/**
 * Asks for `range` of `path` and reads until the node ends the connection; rejects when it resets
 * it instead.
 */
export async function rawAnswer(node: Node, path: string, range: string): Promise<RawAnswer> {
  const [host = '', port] = node.address.split(':');
  const socket = connect({ host, port: Number(port) });
  socket.write(`GET ${path} HTTP/1.1\r\nRange: ${range}\r\nConnection: close\r\n\r\n`);
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  const all = Buffer.concat(pieces);
  const end = all.indexOf('\r\n\r\n') + 4;
  return { head: all.subarray(0, end).toString('latin1'), body: all.subarray(end) };
}
