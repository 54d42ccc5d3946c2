import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type Answer, decode, encode, type Packet, type Question } from 'dns-packet';

/**
 * The records for a question; `hang` never answers, `fail` is SERVFAIL, undefined NXDOMAIN, [] no
 * such records.
 */
export type Zone = (question: Question) => readonly Answer[] | 'hang' | 'fail' | undefined;

const NXDOMAIN = 3;
const SERVFAIL = 2;
/** dns-packet has no name for it: the flag that has the client ask again over TCP. */
const TRUNCATED = 1 << 9;
const MAX_UDP_BYTES = 512;

/**
 * A real DNS server over UDP and TCP on some port, for the time of a test. Resolves with `ip:port`.
 */
export async function serveDns(
  t: TestContext,
  zone: Zone,
  { host = '127.0.0.1', port: wanted = 0 } = {},
): Promise<string> {
  const tcp = createServer((socket) => answerTcp(socket, zone));
  tcp.listen(wanted, host);
  await once(tcp, 'listening');
  const { port } = tcp.address() as { port: number };
  const udp = createSocket('udp4');
  udp.on('message', (message, { port: from, address }) => {
    const answer = answerTo(message, zone);
    if (answer === undefined) return;
    const tooLong = answer.length > MAX_UDP_BYTES;
    udp.send(tooLong ? encode({ ...head(message), flags: TRUNCATED }) : answer, from, address);
  });
  udp.bind(port, host);
  await once(udp, 'listening');
  t.after(() => {
    udp.close();
    tcp.close();
  });
  return `${host}:${port}`;
}

function answerTcp(socket: Socket, zone: Zone): void {
  let received: Buffer = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (piece: Buffer) => {
    received = Buffer.concat([received, piece]);
    if (received.length < 2 || received.length < 2 + received.readUInt16BE()) return;
    const answer = answerTo(received.subarray(2), zone);
    if (answer === undefined) return;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(answer.length);
    socket.end(Buffer.concat([length, answer]));
  });
}

function answerTo(message: Buffer, zone: Zone): Buffer | undefined {
  const { questions = [] } = decode(message);
  const records = questions[0] && zone(questions[0]);
  if (records === 'hang') return undefined;
  if (records === 'fail') return encode({ ...head(message), flags: SERVFAIL });
  if (records === undefined) return encode({ ...head(message), flags: NXDOMAIN });
  return encode({ ...head(message), answers: [...records] });
}

function head(message: Buffer): Packet {
  const { id, questions } = decode(message);
  return { type: 'response', id, questions };
}
