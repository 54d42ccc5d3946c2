import type { Connection, Stream } from '@libp2p/interface';
import type { Logger } from '../../base/log.ts';
import {
  FOREIGN_RECORD_VALIDITY_MS,
  MAX_RECORD_VALIDITY_MS,
  RECORD_VALIDITY_MS,
  REPLICATION,
} from '../constants.ts';
import type { WirePeer } from '../wire-peer.ts';
import { peerIdText } from '../wire-peer.ts';
import { kadPoint } from './keys.ts';
import { type DhtMessage, decodeDhtMessage, encodeDhtMessage, MessageType } from './message.ts';
import type { ProviderStore } from './provider-store.ts';
import type { QuestionBudget } from './question-budget.ts';
import type { RoutingTable, TablePeer } from './routing-table.ts';
import { serveRpc } from './rpc-server.ts';

export interface DhtServerParts {
  readonly log: Logger;
  readonly table: RoutingTable;
  readonly providerStore: ProviderStore;
  /** This node, with the addresses that it announces now. */
  readonly self: () => WirePeer;
  /** Whether this node announces a key (a multihash) itself. */
  readonly isProvided: (key: Uint8Array) => boolean;
  /** A peer says that it is about to stop. */
  readonly onLeaving: (peer: string) => void;
  /** How much of our table a peer of ours is told at once. */
  readonly peersTold: number;
  readonly budget: QuestionBudget;
}

/** An ADD_PROVIDER with all its addresses has 2 KiB at most. */
const MAX_REQUEST_BYTES = 16_384;
/** More holders than a mirror would ever try; which ones is left to chance. */
const MAX_PROVIDERS = 32;
/**
 * Answers the DHT's messages. It stands where kad-dht's own handler would: that one writes every record through
 * two datastores (0.3 ms each), returns expired ones, tells its whole table with every answer, and bounds nothing.
 */
export class DhtServer {
  readonly #parts: DhtServerParts;

  constructor(parts: DhtServerParts) {
    this.#parts = parts;
  }

  /** Serves one stream until the peer closes it, is idle for a minute or sends something that is no message. Never rejects. */
  serve(stream: Stream, connection: Connection): Promise<void> {
    return serveRpc(stream, connection, {
      log: this.#parts.log,
      name: 'DHT',
      maxRequestBytes: MAX_REQUEST_BYTES,
      budget: this.#parts.budget,
      answer: (from, bytes) => this.#answer(from, decodeDhtMessage(bytes)),
    });
  }

  #answer(from: string, message: DhtMessage): Uint8Array | undefined {
    switch (message.type) {
      case MessageType.addProvider:
        this.#addProvider(from, message);
        return undefined;
      case MessageType.getProviders:
        return this.#getProviders(from, message.key);
      case MessageType.findNode:
        return this.#findNode(from, message.key);
      case MessageType.ping:
        if (message.isLeaving === true) this.#parts.onLeaving(from);
        return encodeDhtMessage({ type: MessageType.ping });
      default:
        throw new Error(`message type ${message.type} is not spoken here`);
    }
  }

  /** Only what a peer says of itself is kept: it could send others wherever it liked otherwise. */
  #addProvider(from: string, { key, providers, validitySeconds }: DhtMessage): void {
    if (key.length === 0) throw new Error('ADD_PROVIDER without a key');
    const { table, providerStore } = this.#parts;
    for (const { id, addresses } of providers) {
      if (addresses.length === 0 || peerIdText(id) !== from) continue;
      const assumed =
        table.get(from)?.isOurs === true ? RECORD_VALIDITY_MS : FOREIGN_RECORD_VALIDITY_MS;
      const said = validitySeconds === undefined ? assumed : validitySeconds * 1000;
      const validity = Math.min(MAX_RECORD_VALIDITY_MS, said);
      providerStore.add(key, { peer: from, id, addresses }, validity);
    }
  }

  /** The asker's own record is always among the answer if it is held: so it can tell whether we still know it. */
  #getProviders(from: string, key: Uint8Array): Uint8Array {
    if (key.length === 0) throw new Error('GET_PROVIDERS without a key');
    const { table, providerStore, self, isProvided } = this.#parts;
    const providers: WirePeer[] = providerStore.providers(key, MAX_PROVIDERS);
    const asker = providerStore.ownRecord(key, from);
    if (asker !== undefined && !providers.includes(asker)) providers.push(asker);
    if (isProvided(key)) providers.push(self());
    const closer = table.closest(kadPoint(key), REPLICATION).map(toWirePeer);
    return encodeDhtMessage({ type: MessageType.getProviders, key, closer, providers });
  }

  /** Go Spegel gets the k peers that it expects, ours as much of the table as fits. */
  #findNode(from: string, key: Uint8Array): Uint8Array {
    const { table, self, peersTold } = this.#parts;
    const asker = table.get(from);
    const count = asker?.isOurs === true ? peersTold : REPLICATION;
    const closest = table.closest(kadPoint(key), count + 1).filter(({ peerId }) => peerId !== from);
    const closer = closest.slice(0, count).map(toWirePeer);
    // Where it is known to be: at another address than its own, a clone of it is there. Not in an
    // answer that is full: the size of the fleet is estimated by that.
    if (asker?.isOurs === true && closer.length + 1 < count) closer.push(toWirePeer(asker));
    const me = self();
    if (Buffer.compare(me.id, key) === 0) closer.push(me);
    return encodeDhtMessage({ type: MessageType.findNode, key, closer });
  }
}

const toWirePeer = ({ idBytes, addresses }: TablePeer): WirePeer => ({ id: idBytes, addresses });
