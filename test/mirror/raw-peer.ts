/** Peers on raw sockets, that answer as a test wants. */
import { createServer, type Socket } from 'node:net';
import type { Candidate } from '../../lib/routing/router.ts';
import { listenLocally } from '../support/listen.ts';
import type { Cleanup } from './support.ts';

export interface FakePeer extends Candidate {
  readonly address: string;
  /** Request heads, as text. */
  readonly requests: string[];
}

let peers = 0;

/** A peer on a raw socket: `answer` gets the connection when the request's head is complete. */
export async function startPeer(
  cleanup: Cleanup,
  answer: (socket: Socket, head: string) => void,
  host?: string,
): Promise<FakePeer> {
  peers += 1;
  const peerId = `peer-${peers}`;
  const requests: string[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => {});
    let head = '';
    socket.on('data', (data) => {
      head += data.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      const request = head;
      head = '';
      requests.push(request);
      answer(socket, request);
    });
  });
  const address = await listenLocally(cleanup, server, host);
  return { peerId, addresses: [address], address, requests };
}

/** The start of `Range: bytes=N-…` in a request head, 0 without. */
export function rangeStart(head: string): number {
  return Number(/^range: bytes=(\d+)-/im.exec(head)?.[1] ?? 0);
}

/** A head for `bytes` from `start` on, as a well-behaved peer writes it. */
export function goodHead(size: number, start = 0): string {
  const length = size - start;
  const range = start === 0 ? '' : `Content-Range: bytes ${start}-${size - 1}/${size}\r\n`;
  return `HTTP/1.1 ${start === 0 ? '200 OK' : '206 Partial Content'}\r\nContent-Length: ${length}\r\n${range}\r\n`;
}

/** Answers like a healthy Go peer, ranges from N on included. */
export function serve(bytes: Buffer): (socket: Socket, head: string) => void {
  return (socket, head) => {
    const start = rangeStart(head);
    socket.write(goodHead(bytes.byteLength, start));
    socket.end(bytes.subarray(start));
  };
}
