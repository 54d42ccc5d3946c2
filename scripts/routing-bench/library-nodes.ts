import { hash } from 'node:crypto';
import type { Libp2p } from '@libp2p/interface';
import { EventTypes, type KadDHT } from '@libp2p/kad-dht';
import { multiaddr } from '@multiformats/multiaddr';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { create } from 'multiformats/hashes/digest';
import { startLibraryNode } from '../../lab/routing/plain-node.ts';
import {
  MAX_INBOUND_PENDING,
  MAX_INBOUND_PER_SECOND_PER_IP,
} from '../../lib/routing/transport/constants.ts';
import { usage } from './meter.ts';

/**
 * Connections that the library accepts per second, and handshakes at the same time: as in our
 * nodes. With the defaults it would reset the connections of a fleet on one address.
 */
const WIDE = {
  inboundConnectionThreshold: MAX_INBOUND_PER_SECOND_PER_IP,
  maxIncomingPendingConnections: MAX_INBOUND_PENDING,
};
const SHA2_256 = 0x12;
/** Keys provided at the same time: a single one would wait for the network most of the time. */
const PARALLEL = 4;

export interface Provided {
  readonly seconds: number;
  /** Questions and announcements that the provider sent. */
  readonly messages: number;
}

/** Many nodes with the library's own DHT in one process; the methods are called over IPC. */
export class LibraryNodes {
  readonly #nodes: Libp2p<{ dht: KadDHT }>[] = [];

  /** Starts nodes and returns the address of each. */
  async start(count: number): Promise<string[]> {
    const cleanup = { after: () => {} };
    for (let index = 0; index < count; index += 1) {
      this.#nodes.push(await startLibraryNode(cleanup, { connectionManager: WIDE }));
    }
    return this.#nodes.map((node) => String(node.getMultiaddrs()[0]));
  }

  /** Has each node dial the addresses that it should know. */
  async connect(targets: readonly (readonly string[])[]): Promise<void> {
    for (const [index, addresses] of targets.entries()) {
      for (const address of addresses) {
        const signal = AbortSignal.timeout(5_000);
        await this.#nodes[index]?.dial(multiaddr(address), { signal }).catch(() => {});
      }
    }
  }

  /** Entries of each node's routing table. */
  peers(): number[] {
    return this.#nodes.map((node) => routingTable(node).size);
  }

  usage = usage;

  /** Announces keys of the first node with the library's `provide`. */
  async provide(name: string, count: number): Promise<Provided> {
    const started = performance.now();
    let messages = 0;
    const [node] = this.#nodes;
    const indexes = Array.from({ length: count }, (_, index) => index).values();
    const worker = async () => {
      for (const index of indexes) {
        const digest = create(SHA2_256, hash('sha256', `${name}-${index}`, 'buffer'));
        const signal = AbortSignal.timeout(20_000);
        const events = node?.services.dht.provide(CID.createV1(raw.code, digest), { signal });
        for await (const { type } of events ?? []) {
          if (type === EventTypes.SEND_QUERY) messages += 1;
        }
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    return { seconds: (performance.now() - started) / 1000, messages };
  }
}

/** The library's types hide its routing table, and only its size tells when it is full. */
function routingTable(node: Libp2p<{ dht: KadDHT }>): { readonly size: number } {
  return (node.services.dht as unknown as { routingTable: { size: number } }).routingTable;
}
