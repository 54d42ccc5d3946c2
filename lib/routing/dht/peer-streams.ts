import type { Libp2p } from '@libp2p/interface';
import type { TablePeer } from './routing-table.ts';
import { RpcStream, type RpcStreamSettings } from './rpc-stream.ts';

export interface PeerStreamsSettings<Answer> extends RpcStreamSettings<Answer> {
  readonly protocol: string;
  /** Streams that we open per connection: the one that stays open, and its successors. */
  readonly maxOpened: number;
}

/** One open stream of a protocol to each connected peer. Never dials. */
export class PeerStreams<Answer> {
  readonly #settings: PeerStreamsSettings<Answer>;
  readonly #streams = new Map<string, RpcStream<Answer>>();

  constructor(settings: PeerStreamsSettings<Answer>) {
    this.#settings = settings;
  }

  /** Its exchanges reject where the peer is not connected. */
  to({ id, peerId }: TablePeer, libp2p: Libp2p | undefined): RpcStream<Answer> {
    const known = this.#streams.get(peerId);
    if (known !== undefined) return known;
    const { protocol, maxOpened } = this.#settings;
    const open = async (signal: AbortSignal) => {
      const connection = libp2p?.getConnections(id).at(-1);
      if (connection === undefined) throw new Error('peer is not connected');
      return connection.newStream(protocol, { signal, maxOutboundStreams: maxOpened });
    };
    const stream = new RpcStream(open, this.#settings);
    this.#streams.set(peerId, stream);
    return stream;
  }

  /** Closes the stream to a peer. */
  forget(peerId: string): void {
    this.#streams.get(peerId)?.close();
    this.#streams.delete(peerId);
  }

  stop(): void {
    for (const peerId of [...this.#streams.keys()]) this.forget(peerId);
  }
}
