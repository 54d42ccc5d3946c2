import type { Connection, Stream } from '@libp2p/interface';
import type { Logger } from '../../base/log.ts';
import type { WirePeer } from '../wire-peer.ts';
import { MAX_PROVIDERS_QUESTION_BYTES, MAX_PROVIDERS_TOLD_PER_KEY } from './constants.ts';
import type { ProviderStore } from './provider-store.ts';
import { decodeProvidersQuestion, encodeProvidersAnswer } from './providers-message.ts';
import type { QuestionBudget } from './question-budget.ts';
import { serveRpc } from './rpc-server.ts';

export interface ProvidersServerParts {
  readonly log: Logger;
  readonly providerStore: ProviderStore;
  /** This node, with the addresses that it announces now. */
  readonly self: () => WirePeer;
  /** Whether this node provides the key with this multihash itself. */
  readonly isProvided: (key: Uint8Array) => boolean;
  readonly budget: QuestionBudget;
}

/** Answers for many keys in one message what the DHT's GET_PROVIDERS answers for one. */
export class ProvidersServer {
  readonly #parts: ProvidersServerParts;

  constructor(parts: ProvidersServerParts) {
    this.#parts = parts;
  }

  /** Serves one stream, as `serveRpc` does. Never rejects. */
  serve(stream: Stream, connection: Connection): Promise<void> {
    return serveRpc(stream, connection, {
      log: this.#parts.log,
      name: 'providers',
      maxRequestBytes: MAX_PROVIDERS_QUESTION_BYTES,
      budget: this.#parts.budget,
      answer: (_from, bytes) => this.#answer(bytes),
    });
  }

  #answer(question: Uint8Array): Uint8Array {
    const keys = decodeProvidersQuestion(question);
    return encodeProvidersAnswer(keys.map((key) => this.#providersOf(key)));
  }

  #providersOf(key: Uint8Array): WirePeer[] {
    const { providerStore, isProvided, self } = this.#parts;
    const known: WirePeer[] = providerStore.providers(key, MAX_PROVIDERS_TOLD_PER_KEY);
    // First, because a list is cut at its end.
    return isProvided(key) ? [self(), ...known] : known;
  }
}
