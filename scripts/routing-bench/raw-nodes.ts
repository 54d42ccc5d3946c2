import type { Libp2p } from '@libp2p/interface';
import { connect, startRawNode } from '../../lab/routing/plain-node.ts';

/** Many nodes in one process that connect and then send no requests. */
export class RawNodes {
  readonly #nodes: Libp2p[] = [];

  /** Starts nodes until there are `count`, and connects the new ones. */
  async connect(endpoint: string, count: number): Promise<void> {
    while (this.#nodes.length < count) {
      const silent = { connectionMonitor: { enabled: false } };
      const node = await startRawNode({ after: () => {} }, undefined, silent);
      await connect(node, endpoint);
      this.#nodes.push(node);
    }
  }
}
