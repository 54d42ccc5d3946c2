import type { Connection, Stream } from '@libp2p/interface';
import type { Logger } from '../../base/log.ts';
import { REPLICATION } from '../constants.ts';
import { peerIdText, type WirePeer } from '../wire-peer.ts';
import {
  FOREIGN_RECORD_VALIDITY_MS,
  MAX_DHT_REQUEST_BYTES,
  MAX_PROVIDERS_TOLD,
  MAX_RECORD_VALIDITY_MS,
  RECORD_VALIDITY_MS,
} from './constants.ts';
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
  /** Whether this node provides the key with this multihash itself. */
  readonly isProvided: (key: Uint8Array) => boolean;
  /** Called when a peer says that it is about to stop. */
  readonly onLeaving: (peerId: string) => void;
  /** How many peers of the routing table a peer of ours is told in one answer. */
  readonly peersTold: number;
  readonly budget: QuestionBudget;
}

/**
 * Answers the DHT's requests in place of kad-dht's own handler, which writes every record through
 * two datastores (0.3 ms each), returns expired records, tells its whole table with every answer,
 * and bounds nothing.
 */
export class DhtServer {
  readonly #parts: DhtServerParts;

  constructor(parts: DhtServerParts) {
    this.#parts = parts;
  }

  /** Serves one stream, as `serveRpc` does. Never rejects. */
  serve(stream: Stream, connection: Connection): Promise<void> {
    return serveRpc(stream, connection, {
      log: this.#parts.log,
      name: 'DHT',
      maxRequestBytes: MAX_DHT_REQUEST_BYTES,
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

  /** Keeps only records of the sender itself: otherwise a peer could direct others anywhere. */
  #addProvider(from: string, { key, providers, validitySeconds }: DhtMessage): void {
    if (key.length === 0) throw new Error('ADD_PROVIDER without a key');
    const { table, providerStore } = this.#parts;
    for (const { id, addresses } of providers) {
      if (addresses.length === 0 || peerIdText(id) !== from) continue;
      const assumed =
        table.get(from)?.isOurs === true ? RECORD_VALIDITY_MS : FOREIGN_RECORD_VALIDITY_MS;
      const requested = validitySeconds === undefined ? assumed : validitySeconds * 1000;
      const validityMs = Math.min(MAX_RECORD_VALIDITY_MS, requested);
      providerStore.add(key, { peerId: from, id, addresses }, validityMs);
    }
  }

  /**
   * The answer always includes the asker's own record if there is one: this tells the asker whether
   * this node still knows it.
   */
  #getProviders(from: string, key: Uint8Array): Uint8Array {
    if (key.length === 0) throw new Error('GET_PROVIDERS without a key');
    const { table, providerStore, self, isProvided } = this.#parts;
    const providers: WirePeer[] = providerStore.providers(key, MAX_PROVIDERS_TOLD);
    const asker = providerStore.ownRecord(key, from);
    if (asker !== undefined && !providers.includes(asker)) providers.push(asker);
    if (isProvided(key)) providers.push(self());
    const closer = table.closest(kadPoint(key), REPLICATION).map(toWirePeer);
    return encodeDhtMessage({ type: MessageType.getProviders, key, closer, providers });
  }

  /** Go Spegel gets the k peers that it expects; a peer of ours gets `peersTold`. */
  #findNode(from: string, key: Uint8Array): Uint8Array {
    const { table, self, peersTold } = this.#parts;
    const asker = table.get(from);
    const count = asker?.isOurs === true ? peersTold : REPLICATION;
    const closest = table.closest(kadPoint(key), count + 1).filter(({ peerId }) => peerId !== from);
    const closer = closest.slice(0, count).map(toWirePeer);
    // Names the asker at the addresses known here: at one that is not its own, it finds its clone.
    // A full answer leaves it out, because the asker estimates the size of the fleet by that.
    if (asker?.isOurs === true && closer.length + 1 < count) closer.push(toWirePeer(asker));
    const me = self();
    if (Buffer.compare(me.id, key) === 0) closer.push(me);
    return encodeDhtMessage({ type: MessageType.findNode, key, closer });
  }
}

const toWirePeer = ({ idBytes, addresses }: TablePeer): WirePeer => ({ id: idBytes, addresses });
