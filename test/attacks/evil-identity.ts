/** One identity of an evil node: a peer of the fleet's network, as good as any other there. */

import { silentLogger } from '../../lib/base/log.ts';
import { Metrics } from '../../lib/metrics/metrics.ts';
import type { Digest } from '../../lib/oci/digest.ts';
import { Libp2pRouter } from '../../lib/routing/libp2p/router.ts';
import { OwnPeer } from '../../lib/routing/transport/own-peer.ts';
import {
  decodeTrackerMessage,
  encodeTrackerMessage,
  type TrackerMessage,
} from '../../lib/tracker/protocol.ts';
import {
  EVIL_PORT_STEP,
  EVIL_REGISTRY_PORT,
  EVIL_ROUTER_PORT,
  type EvilSpec,
} from './evil-spec.ts';

/** As long as the daemon's records count. */
const RECORD_MS = 10 * 60_000;
const ASK_MS = 1_000;
/** Trackers that are asked and told: all of a small fleet. */
const TRACKERS = 16;
/** Digests per report. */
const MAX_PULLS = 16;

export class EvilIdentity {
  readonly registryPort: number;
  readonly #spec: EvilSpec;
  readonly #router: Libp2pRouter;
  readonly #stop = new AbortController();

  /** `accomplices`: ids of all identities of this node, for whoever asks it as a tracker. */
  constructor(spec: EvilSpec, number: number, accomplices: () => readonly string[]) {
    this.#spec = spec;
    this.registryPort = EVIL_REGISTRY_PORT + number * EVIL_PORT_STEP;
    const port = EVIL_ROUTER_PORT + number * EVIL_PORT_STEP;
    const fleet = spec.fleet.map((address) => `/ip4/${address}/tcp/${EVIL_ROUTER_PORT}`);
    const settings = {
      version: '0.0.0',
      dataDir: '',
      routerAddress: { host: '', port },
      registryPort: this.registryPort,
      advertiseAddresses: [spec.addresses[number % spec.addresses.length] ?? ''],
      advertiseTtlMs: RECORD_MS,
    };
    this.#router = new Libp2pRouter(
      {
        self: new OwnPeer(settings),
        log: silentLogger,
        instruments: new Metrics().instruments,
        bootstrappers: [{ kind: 'static', addresses: async () => fleet }],
      },
      settings,
    );
    this.#router.protocol.answerWith((_, question) =>
      this.#answer(decodeTrackerMessage(question), accomplices()),
    );
  }

  get peerId(): string {
    return this.#router.peerId;
  }

  start(): Promise<void> {
    return this.#router.start(this.#stop.signal);
  }

  /** It is gone without a word. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('given up'));
    await this.#router.stop();
  }

  /** Says that it has these digests, or that it is just getting them as the first of all. */
  claim(digests: readonly Digest[]): void {
    if (this.#spec.holds) {
      this.#router.advertise(digests);
      return;
    }
    for (const digest of digests) {
      const ask = { type: 'ask', digest, have: 0, failed: [], isSmall: false } as const;
      this.#tell(digest, ask);
    }
  }

  /** Says how far it is with what it claims to be getting. To be called every second. */
  report(digests: readonly Digest[], have: number): void {
    if (this.#spec.holds) return;
    for (let at = 0; at < digests.length; at += MAX_PULLS) {
      const some = digests.slice(at, at + MAX_PULLS);
      const pulls = some.map((digest) => ({ digest, have, source: undefined }));
      if (some[0] !== undefined) this.#tell(some[0], { type: 'report', pulls });
    }
  }

  #tell(digest: Digest, message: TrackerMessage): void {
    const { protocol } = this.#router;
    for (const tracker of protocol.closest(digest, TRACKERS)) {
      if (tracker === this.peerId) continue;
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ASK_MS)]);
      // Whether there is an answer does not matter.
      protocol.ask(tracker, encodeTrackerMessage(message), signal).catch(() => {});
    }
  }

  #answer(message: TrackerMessage, accomplices: readonly string[]): Uint8Array {
    if (message.type !== 'ask')
      return encodeTrackerMessage({ ok: true, nextReportMs: 1_000, again: [] });
    if (!this.#spec.misleads) return encodeTrackerMessage({ role: 'lead' });
    const sources = accomplices.map((peer) => ({ peer, isWhole: this.#spec.holds }));
    return encodeTrackerMessage({ role: 'follow', sources, depth: 0 });
  }
}
