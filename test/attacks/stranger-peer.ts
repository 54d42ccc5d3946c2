/**
 * A program: a stranger that speaks the DHT and the tracker protocol to a host's Spegel. Arguments:
 * `HOST:PORT MODE [JSON]`. Prints a PeerTally as JSON each half second.
 *
 * - `hearsay`: whoever asks it for peers is told 256 that nobody is, at the addresses of JSON
 * - `identities`: new ones without end, each of which connects, asks and goes
 * - `invented`: asks trackers for, and reports, digests that it makes up, as many peers
 * - `texts`: names itself in control characters, and says to have the digests of JSON
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, Libp2p } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import { startRawNode } from '../../lab/routing/plain-node.ts';
import { DHT_PROTOCOL, TRACKER_PROTOCOL } from '../../lib/routing/constants.ts';
import { FrameReader, frame } from '../../lib/routing/dht/frames.ts';
import { multihashOf } from '../../lib/routing/dht/keys.ts';
import { decodeDhtMessage, encodeDhtMessage, MessageType } from '../../lib/routing/dht/message.ts';
import { encodeTrackerMessage, type TrackerMessage } from '../../lib/tracker/protocol.ts';

export interface PeerTally {
  /** Identities, questions or answers, as the mode has it. */
  readonly done: number;
}

/** Names per answer: as many as one of ours tells at most. */
const NAMES = 256;
const AT_ONCE = 4;
const PEERS = 8;
const PULLS = 16;
const DIAL_MS = 5_000;
const ED25519 = Buffer.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
const inventedId = () => Buffer.concat([ED25519, randomBytes(32)]);
const inventedDigest = () => `sha256:${randomBytes(32).toString('hex')}` as const;

const [target = '', mode = '', json = '[]'] = process.argv.slice(2);
const given = JSON.parse(json) as readonly string[];
const [host, port] = target.split(':');
let done = 0;
setInterval(() => process.stdout.write(`${JSON.stringify({ done })}\n`), 500);

const modes: Readonly<Record<string, () => Promise<void>>> = {
  hearsay: () => forEver(1, (node) => hearsay(node)),
  identities: () => forEver(AT_ONCE, (node) => comeAndGo(node)),
  invented: () => forEver(PEERS, (node) => invent(node)),
  texts: () => forEver(1, (node) => texts(node)),
};
await modes[mode]?.();

/** So many nodes at a time, each for as long as `work` goes on. */
async function forEver(atOnce: number, work: (node: Libp2p) => Promise<void>): Promise<void> {
  const worker = async () => {
    for (;;) {
      const node = await startRawNode({ after: () => {} }, undefined, {
        nodeInfo: mode === 'texts' ? { userAgent: given[0] ?? '' } : {},
      });
      await work(node).catch(() => sleep(100));
      await node.stop();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

function dial(node: Libp2p): Promise<Connection> {
  const signal = AbortSignal.timeout(DIAL_MS);
  return node.dial(multiaddr(`/ip4/${host}/tcp/${port}`), { signal });
}

/** Answers whoever asks for peers, until the connection ends. */
async function hearsay(node: Libp2p): Promise<void> {
  const addresses = given.map((address) => multiaddr(address).bytes);
  await node.handle(DHT_PROTOCOL, (stream) => {
    const reader = new FrameReader(1_000_000);
    stream.addEventListener('message', ({ data }) => {
      for (const message of reader.push(data)) {
        const { type, key } = decodeDhtMessage(message);
        const isAsked = type === MessageType.findNode;
        const invented = () => ({ id: inventedId(), addresses });
        const closer = isAsked ? Array.from({ length: NAMES }, invented) : [];
        stream.send(frame(encodeDhtMessage({ type, key, closer })));
        if (isAsked) done += NAMES;
      }
    });
  });
  const connection = await dial(node);
  while (connection.status === 'open') await sleep(100);
}

async function comeAndGo(node: Libp2p): Promise<void> {
  await node.handle(DHT_PROTOCOL, () => {});
  const stream = await (await dial(node)).newStream(DHT_PROTOCOL);
  const answered = new Promise((resolve) => stream.addEventListener('message', resolve));
  const key = multihashOf(inventedDigest());
  stream.send(frame(encodeDhtMessage({ type: MessageType.findNode, key })));
  await Promise.race([answered, sleep(1_000)]);
  done += 1;
}

async function invent(node: Libp2p): Promise<void> {
  const stream = await (await dial(node)).newStream(TRACKER_PROTOCOL);
  stream.addEventListener('message', () => {});
  const digest = inventedDigest;
  while (stream.status === 'open') {
    const pulls = Array.from({ length: PULLS }, () => ({ digest: digest(), have: 1 }));
    const source = node.peerId.toString();
    const messages: readonly TrackerMessage[] = [
      { type: 'ask', digest: digest(), have: 0, failed: [], isSmall: false },
      { type: 'report', pulls: pulls.map((pull) => ({ ...pull, source })) },
      { type: 'done', digest: digest() },
    ];
    for (const message of messages) stream.send(frame(encodeTrackerMessage(message)));
    done += messages.length;
    while (stream.status === 'open' && stream.writeBufferLength > 262_144) await sleep(1);
    await sleep(0);
  }
}

async function texts(node: Libp2p): Promise<void> {
  await node.handle(DHT_PROTOCOL, () => {});
  const connection = await dial(node);
  const stream = await connection.newStream(DHT_PROTOCOL);
  const [, address = '', ...digests] = given;
  const provider = { id: node.peerId.toMultihash().bytes, addresses: [multiaddr(address).bytes] };
  while (connection.status === 'open') {
    for (const digest of digests) {
      const key = multihashOf(digest);
      const type = MessageType.addProvider;
      stream.send(frame(encodeDhtMessage({ type, key, providers: [provider] })));
      done += 1;
    }
    await sleep(1_000);
  }
}
