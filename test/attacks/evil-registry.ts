/** The registry of an evil node: raw sockets, since an HTTP server would not send what is wrong. */
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { AVAILABLE_HEADER, INFLIGHT_HEADER, PEER_HEADER } from '../../lib/base/spegel-headers.ts';
import { parseDistributionUrl } from '../../lib/oci/distribution.ts';
import type { EvilSpec, Learned } from './evil-spec.ts';
import { type Answer, answerOf } from './lies.ts';

/** A drip comes in so many pieces a second. */
const DRIPS = 20;

interface Known {
  readonly path: string;
  readonly isManifest: boolean;
  /** The address that asked first. */
  first?: string;
}

export class EvilRegistry {
  readonly lies = new Map<string, number>();
  readonly truths = new Map<string, number>();
  readonly #spec: EvilSpec;
  readonly #known = new Map<string, Known>();
  /** GETs of blobs so far, by the address that asked. */
  readonly #asked = new Map<string, number>();

  constructor(spec: EvilSpec) {
    this.#spec = spec;
  }

  learn({ dir, manifests, blobs }: Learned): void {
    const pathOf = (digest: string) => join(dir, 'blobs', ...digest.split(':'));
    for (const digest of manifests)
      this.#known.set(digest, { path: pathOf(digest), isManifest: true });
    for (const digest of blobs)
      this.#known.set(digest, { path: pathOf(digest), isManifest: false });
  }

  /** Listens on a port, as the identity of that id. */
  listen(port: number, peerId: () => string): Server {
    const server = createServer((socket) => {
      let head = '';
      socket.on('error', () => {});
      socket.on('data', (data) => {
        if (head.includes('\r\n\r\n')) return;
        head += data.toString('latin1');
        if (head.includes('\r\n\r\n')) this.#answer(socket, head, peerId());
      });
    });
    return server.listen(port);
  }

  #answer(socket: Socket, head: string, peerId: string): void {
    const [, method = '', url = ''] = /^(GET|HEAD) (\S+) HTTP/.exec(head) ?? [];
    const request = parseDistributionUrl(url);
    const digest = 'target' in request && 'digest' in request.target ? request.target.digest : '';
    const known = this.#known.get(digest);
    const isInflight = new RegExp(`^${INFLIGHT_HEADER}:`, 'im').test(head);
    if (known === undefined || !this.#isFor(known, socket, isInflight)) {
      socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const right = readFileSync(known.path);
    if (method === 'HEAD') {
      socket.end(headOf({ status: 200, length: right.length }, peerId, isInflight ? 1 : undefined));
      return;
    }
    const answer = this.#choose(socket, head, right, known);
    const available = isInflight ? answer.body.length : undefined;
    socket.write(headOf(answer, peerId, available));
    send(socket, answer);
  }

  #isFor(known: Known, socket: Socket, isInflight: boolean): boolean {
    if (!this.#spec.holds && !isInflight) return false;
    known.first ??= addressOf(socket);
    return !this.#spec.oneBranch || known.first === addressOf(socket);
  }

  #choose(socket: Socket, head: string, right: Buffer, { isManifest }: Known): Answer {
    const asker = addressOf(socket);
    const [, first, last] = /^range: bytes=(\d+)-(\d*)/im.exec(head) ?? [];
    const before = this.#asked.get(asker) ?? 0;
    const start = Number(first ?? 0);
    const end = last ? Number(last) + 1 : undefined;
    const answer = answerOf(this.#spec.lie, right, { isManifest, start, end, before });
    if (!isManifest) this.#asked.set(asker, before + 1);
    const count = answer.isLie ? this.lies : this.truths;
    if (answer.status !== 404) count.set(asker, (count.get(asker) ?? 0) + 1);
    return answer;
  }
}

function addressOf({ remoteAddress = '' }: Socket): string {
  return remoteAddress.replace('::ffff:', '');
}

function headOf(
  { status, length, contentRange }: Pick<Answer, 'status' | 'length'> & Partial<Answer>,
  peerId: string,
  available: number | undefined,
): string {
  const lines = [
    `HTTP/1.1 ${status} ${status === 404 ? 'Not Found' : 'OK'}`,
    'Content-Type: application/octet-stream',
    `Content-Length: ${length}`,
    `${PEER_HEADER}: ${peerId}`,
  ];
  if (contentRange !== undefined) lines.push(`Content-Range: ${contentRange}`);
  if (available !== undefined) lines.push(`${AVAILABLE_HEADER}: ${available}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function send(socket: Socket, { body, rate, end }: Answer): void {
  const finish = () => {
    if (end === 'fin') socket.end();
    else if (end === 'reset') socket.resetAndDestroy();
  };
  if (rate === undefined) {
    // A reset right behind the bytes takes them away from the one that has not read them yet.
    socket.write(body, () => setTimeout(finish, end === 'reset' ? 100 : 0));
    return;
  }
  let sent = 0;
  const piece = Math.ceil(rate / DRIPS);
  const drip = setInterval(() => {
    socket.write(body.subarray(sent, sent + piece));
    sent += piece;
    if (sent < body.length) return;
    clearInterval(drip);
    finish();
  }, 1_000 / DRIPS);
  socket.on('close', () => clearInterval(drip));
}
