/**
 * `flood-process.ts ENDPOINT MODE`: a stranger that asks without a pause; in mode `unread` it reads
 * no answers. Prints every half second how many questions it has sent.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { multiaddr } from '@multiformats/multiaddr';
import { startRawNode } from '../../../lab/routing/plain-node.ts';
import {
  DHT_PROTOCOL,
  PROVIDERS_PROTOCOL,
  TRACKER_PROTOCOL,
} from '../../../lib/routing/constants.ts';
import { frame } from '../../../lib/routing/dht/frames.ts';
import { multihashOf } from '../../../lib/routing/dht/keys.ts';
import { encodeDhtMessage, MessageType } from '../../../lib/routing/dht/message.ts';
import { encodeProvidersQuestion } from '../../../lib/routing/dht/providers-message.ts';

const [endpoint = '', mode = ''] = process.argv.slice(2);
const [host, port] = endpoint.split(':');
const node = await startRawNode({ after: () => {} });
const PROTOCOLS: Record<string, string> = {
  tracker: TRACKER_PROTOCOL,
  providers: PROVIDERS_PROTOCOL,
};
const protocol = PROTOCOLS[mode] ?? DHT_PROTOCOL;
const questions = Array.from({ length: mode === 'providers' ? 100 : 1_000 }, () =>
  frame(question()),
);
const bytes = Buffer.concat(questions);
let sent = 0;
setInterval(() => process.stdout.write(`${sent}\n`), 500);
for (;;) {
  try {
    const connection = await node.dial(multiaddr(`/ip4/${host}/tcp/${port}`));
    await Promise.all(Array.from({ length: 8 }, () => flood(connection)));
  } catch {
    await sleep(50);
  }
}

async function flood(connection: Awaited<ReturnType<typeof node.dial>>): Promise<void> {
  const stream = await connection.newStream(protocol);
  if (mode === 'unread') stream.pause();
  else stream.addEventListener('message', () => {});
  while (stream.status === 'open') {
    stream.send(bytes);
    sent += questions.length;
    while (stream.status === 'open' && stream.writeBufferLength > bytes.length) await sleep(1);
  }
}

function question(): Uint8Array {
  const key = () => multihashOf(randomUUID());
  const id = node.peerId.toMultihash().bytes;
  switch (mode) {
    case 'tracker':
      return Buffer.alloc(2_000, 0x08);
    case 'providers':
      return encodeProvidersQuestion(Array.from({ length: 128 }, key));
    case 'records': {
      const providers = [{ id, addresses: [multiaddr('/ip4/10.0.0.1/tcp/1').bytes] }];
      return encodeDhtMessage({ type: MessageType.addProvider, key: key(), providers });
    }
    default:
      return encodeDhtMessage({ type: MessageType.findNode, key: key() });
  }
}
