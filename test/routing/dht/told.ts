import { setTimeout as sleep } from 'node:timers/promises';
import { peerIdFromMultihash } from '@libp2p/peer-id';
import { decode } from 'multiformats/hashes/digest';
import type { DhtClient } from '../../../lib/routing/dht/client.ts';
import { bytesKey, kadPoint, multihashOf } from '../../../lib/routing/dht/keys.ts';
import { decodeDhtMessage } from '../../../lib/routing/dht/message.ts';
import { ProvideService } from '../../../lib/routing/dht/provide-service.ts';
import { RoutingTable, type TablePeer } from '../../../lib/routing/dht/routing-table.ts';
import type { Cleanup } from '../libp2p/fleet.ts';

/** One batch that was sent to a receiver. */
export interface Batch {
  readonly peer: string;
  /** On the monotonic clock in ms. */
  readonly at: number;
  /** Multihashes, as map keys. */
  readonly keys: readonly string[];
}

/** A peer of the table that is always at the same place. */
export function receiver(index: number): TablePeer {
  const idBytes = multihashOf(`receiver ${index}`);
  const id = peerIdFromMultihash(decode(idBytes));
  const point = kadPoint(idBytes);
  const rest = { isOurs: true, hasTracker: false, hasProviders: false, addresses: [] };
  return { id, peerId: `receiver ${index}`, idBytes, point, ...rest };
}

/** The multihash of a key, as a batch names it. */
export const keyIn = (text: string) => bytesKey(multihashOf(text));

/** A provide service whose receivers only record the batches that they get. */
export class Told {
  readonly table = new RoutingTable();
  readonly advertiser: ProvideService;
  readonly batches: Batch[] = [];
  /** What a receiver waits for before it takes a batch. */
  gate: Promise<void> = Promise.resolve();

  constructor(t: Cleanup, validityMs: number) {
    const announce = async (peer: TablePeer, records: readonly Uint8Array[]) => {
      // A record is shorter than 128 bytes, so its length prefix takes one byte.
      const keys = records.map((record) => bytesKey(decodeDhtMessage(record.subarray(1)).key));
      this.batches.push({ peer: peer.peerId, at: performance.now(), keys });
      await this.gate;
    };
    this.advertiser = new ProvideService({
      table: this.table,
      client: { announce } as unknown as DhtClient,
      self: () => ({ id: receiver(0).idBytes, addresses: [] }),
      onFailure: () => {},
      validityMs,
    });
    this.advertiser.start();
    t.after(() => this.advertiser.stop());
  }

  /**
   * Adds peers. Resolves after the 25 ms for which the service waits before it sends to them, since
   * timers of a process fire in their order.
   */
  async join(...peers: readonly TablePeer[]): Promise<void> {
    for (const peer of peers) {
      this.table.add(peer);
      this.advertiser.peerJoined(peer);
    }
    await sleep(100);
  }

  leave(peer: TablePeer): void {
    this.table.delete(peer.peerId);
    this.advertiser.peerLeft(peer.peerId);
  }

  /** When a peer was sent a key, in ms. */
  times(peer: TablePeer, key: string): number[] {
    const own = this.batches.filter(
      ({ peer: to, keys }) => to === peer.peerId && keys.includes(key),
    );
    return own.map(({ at }) => at);
  }
}
