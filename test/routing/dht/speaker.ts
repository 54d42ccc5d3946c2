import type { Libp2p, Stream } from '@libp2p/interface';
import { connect, startRawNode } from '../../../lab/routing/plain-node.ts';
import { AGENT_PREFIX, DHT_PROTOCOL, PROVIDERS_PROTOCOL } from '../../../lib/routing/constants.ts';
import { FrameReader, frame } from '../../../lib/routing/dht/frames.ts';
import { bytesKey, multihashOf } from '../../../lib/routing/dht/keys.ts';
import {
  decodeDhtMessage,
  encodeDhtMessage,
  MessageType,
} from '../../../lib/routing/dht/message.ts';
import {
  decodeProvidersQuestion,
  encodeProvidersAnswer,
} from '../../../lib/routing/dht/providers-message.ts';
import type { WirePeer } from '../../../lib/routing/wire-peer.ts';
import type { Cleanup } from '../libp2p/fleet.ts';

/** What a speaker does with a question for many keys. */
export type Behaviour = 'answers' | 'refuses' | 'garbage' | 'too few' | 'silent';

/**
 * A peer that counts what it is asked, and has the records that a test gives it. Without
 * `behaviour` it is an older build: it does not speak the protocol for many keys.
 */
export class Speaker {
  readonly node: Libp2p;
  behaviour: Behaviour | undefined;
  /** The number of keys in each question for many. */
  readonly together: number[] = [];
  /** GET_PROVIDERS of the DHT: questions for one key. */
  single = 0;
  readonly #records = new Map<string, WirePeer>();

  private constructor(node: Libp2p, behaviour: Behaviour | undefined) {
    this.node = node;
    this.behaviour = behaviour;
  }

  static async start(t: Cleanup, endpoint: string, behaviour?: Behaviour): Promise<Speaker> {
    const nodeInfo = { userAgent: `${AGENT_PREFIX}0.0.0-test` };
    const speaker = new Speaker(await startRawNode(t, undefined, { nodeInfo }), behaviour);
    await speaker.node.handle(DHT_PROTOCOL, (stream) => speaker.#serve(stream, 'single'));
    if (behaviour !== undefined)
      await speaker.node.handle(PROVIDERS_PROTOCOL, (stream) => speaker.#serve(stream, 'together'));
    await connect(speaker.node, endpoint);
    return speaker;
  }

  get peerId(): string {
    return this.node.peerId.toString();
  }

  /** From now on it answers that this peer has the key. */
  knows(key: string, provider: WirePeer): void {
    this.#records.set(bytesKey(multihashOf(key)), provider);
  }

  #serve(stream: Stream, how: 'single' | 'together'): void {
    const reader = new FrameReader(65_536);
    stream.addEventListener('message', ({ data }) => {
      for (const message of reader.push(data)) {
        const answer = how === 'single' ? this.#answerOne(message) : this.#answerMany(message);
        if (answer === 'refused') stream.abort(new Error('not now'));
        else if (answer !== undefined) stream.send(frame(answer));
      }
    });
  }

  #answerOne(message: Uint8Array): Uint8Array | undefined {
    const { type, key } = decodeDhtMessage(message);
    if (type === MessageType.addProvider) return undefined;
    if (type !== MessageType.getProviders) return encodeDhtMessage({ type });
    this.single += 1;
    return encodeDhtMessage({ type, key, providers: this.#providersOf(key) });
  }

  #answerMany(message: Uint8Array): Uint8Array | 'refused' | undefined {
    const lists = decodeProvidersQuestion(message).map((key) => this.#providersOf(key));
    this.together.push(lists.length);
    switch (this.behaviour) {
      case 'answers':
        return encodeProvidersAnswer(lists);
      case 'garbage':
        return new Uint8Array(64).fill(0xff);
      case 'too few':
        return encodeProvidersAnswer(lists.slice(1));
      case 'refuses':
        return 'refused';
      default:
        return undefined;
    }
  }

  #providersOf(key: Uint8Array): WirePeer[] {
    const provider = this.#records.get(bytesKey(key));
    return provider === undefined ? [] : [provider];
  }
}
