import { delay } from '../../base/lifecycle.ts';
import { Backoff } from '../../base/retry.ts';
import type { DhtClient } from './client.ts';
import type { WirePeer } from './message.ts';
import type { PeerTable, TablePeer } from './peer-table.ts';
import { Suspects } from './suspects.ts';
import { peerText } from './wire-peer.ts';

export interface ExplorerParts {
  readonly table: PeerTable;
  readonly client: DhtClient;
  /** This node's peer id as multihash. */
  readonly selfId: Uint8Array;
  /** True when the peer is connected now; identify, which follows, brings it into the table. */
  readonly dial: (peer: Pick<TablePeer, 'text' | 'addresses'>) => Promise<boolean>;
  /** Called now and then, for what else is to be tried at the same pace. */
  readonly onTurn: () => Promise<void>;
}

/** Peers of hearsay dialled at once. */
const MAX_DIALS = 16;
/** So many newcomers are asked whom they know: all of the first, then ever fewer of the many, by chance. */
const NEWCOMERS_ASKED = 8;
const EXPLORE = { minMs: 250, maxMs: 30_000 };

/** Asks peers whom else they know and dials those that are new. kad-dht's own table fills unevenly. */
export class Explorer {
  readonly #parts: ExplorerParts;
  readonly #dialling = new Set<string>();
  /** Peers of hearsay that could not be reached. */
  readonly #dead = new Suspects();
  readonly #pace = new Backoff(EXPLORE);

  constructor(parts: ExplorerParts) {
    this.#parts = parts;
  }

  /**
   * Asks random peers: often after the first peer was met, then ever more rarely. Of two nodes that join through the
   * same peer at once it may know neither yet the first time. Ends with the signal; never rejects.
   */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(this.#pace.next(), signal).catch(() => {});
      if (signal.aborted) return;
      const peers = [...this.#parts.table.all()];
      const peer = peers[Math.floor(Math.random() * peers.length)];
      if (peer === undefined) this.#pace.reset();
      else await this.explore(peer);
      await this.#parts.onTurn();
    }
  }

  /** A peer came into the table. One in many is asked: it may come from a part of the network that we do not know. */
  joined(peer: TablePeer): void {
    this.#dead.answered(peer.text);
    if (Math.random() * this.#parts.table.size < NEWCOMERS_ASKED) void this.explore(peer);
  }

  /** A peer left the table: what others say of it brings it back only after a while. */
  left(peer: string): void {
    this.#dead.failed(peer);
  }

  /** Asks a peer for those closest to us, which for one of ours are all it knows, and dials the unknown. Never rejects. */
  async explore(peer: TablePeer): Promise<void> {
    const { client, selfId } = this.#parts;
    try {
      const { closer } = await client.findNode(peer, selfId);
      await this.dialAll(
        closer.flatMap(({ id, addresses }) => {
          const text = this.#isUnknown({ id, addresses }) ? peerText(id) : undefined;
          return text === undefined ? [] : [{ text, addresses }];
        }),
      );
    } catch {
      // It failed a question that nobody waits for; lookups find out whether it lives.
    }
  }

  /** Dials peers, a bounded number at once. Never rejects. */
  async dialAll(peers: readonly Pick<TablePeer, 'text' | 'addresses'>[]): Promise<void> {
    const next = peers.values();
    const work = async () => {
      for (const peer of next) await this.#dial(peer);
    };
    await Promise.all(Array.from({ length: Math.min(MAX_DIALS, peers.length) }, work));
  }

  async #dial(peer: Pick<TablePeer, 'text' | 'addresses'>): Promise<void> {
    if (this.#dialling.has(peer.text)) return;
    this.#dialling.add(peer.text);
    try {
      if (!(await this.#parts.dial(peer))) this.#dead.failed(peer.text);
    } finally {
      this.#dialling.delete(peer.text);
    }
  }

  #isUnknown({ id, addresses }: WirePeer): boolean {
    const text = peerText(id);
    if (text === undefined || addresses.length === 0) return false;
    if (Buffer.compare(id, this.#parts.selfId) === 0) return false;
    return this.#parts.table.get(text) === undefined && !this.#dead.has(text);
  }
}
