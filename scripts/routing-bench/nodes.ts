import { hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../lib/base/log.ts';
import { parseBootstrapPeer } from '../../lib/bootstrap/peer.ts';
import { StaticBootstrapper } from '../../lib/bootstrap/static.ts';
import { Libp2pRouter } from '../../lib/routing/libp2p/router.ts';
import { OwnPeer } from '../../lib/routing/transport/own-peer.ts';
import { memory, now, receivedFrom, usage } from './meter.ts';

export interface Looked {
  /** Milliseconds to the first provider; undefined if none was found. */
  readonly firstMs: number | undefined;
  /** Milliseconds to the end of the search. */
  readonly totalMs: number;
}

export interface StartOptions {
  /** Where the node listens, `ip:port`. */
  readonly endpoint: string;
  readonly peers: readonly string[];
  readonly advertiseTtlMs: number;
}

const instruments = {
  peers: { set: () => {} },
  resolveDuration: { observe: () => {} },
  identityConflict: { set: () => {} },
};
/** Pause between two lookups of a key that `watch` waits for. */
const POLL_MS = 2;
const WATCH_MS = 10_000;

/** A key in the form of a layer's digest. */
export function benchKey(name: string, index: number): string {
  return `sha256:${hash('sha256', `${name}-${index}`)}`;
}

/** Many routers in one process; the methods are called over IPC. */
export class OurNodes {
  readonly #routers: Libp2pRouter[] = [];

  /** Starts one more node and returns its peer id. */
  async start({ endpoint, peers, advertiseTtlMs }: StartOptions): Promise<string> {
    const { host, port } = parseBootstrapPeer(endpoint);
    const log = silentLogger;
    const bootstrap = new StaticBootstrapper({ log }, peers.map(parseBootstrapPeer));
    const settings = {
      version: '0.0.0-bench',
      routerAddress: { host, port },
      registryPort: 5000,
      dataDir: '',
      advertiseAddresses: [],
      advertiseTtlMs,
    };
    const self = new OwnPeer(settings);
    const router = new Libp2pRouter(
      { log, self, instruments, bootstrappers: [bootstrap] },
      settings,
    );
    await router.start(new AbortController().signal);
    this.#routers.push(router);
    return router.peerId;
  }

  /** The number of peers that each node knows. */
  peers(): number[] {
    return this.#routers.map((router) => router.peers());
  }

  usage = usage;
  memory = memory;
  receivedFrom = receivedFrom;

  /** Has the first node announce keys; returns the time, as `now()` tells it. */
  advertise(name: string, from: number, count: number): number {
    const keys = Array.from({ length: count }, (_, index) => benchKey(name, from + index));
    const at = now();
    this.#routers[0]?.advertise(keys);
    return at;
  }

  /** Puts this process's monotonic clock forward: work due by then is done at the next step. */
  putClockForward(ms: number): void {
    const clock = performance.now.bind(performance);
    performance.now = () => clock() + ms;
  }

  /** Looks up keys one after another, by the first node or by all nodes in turn. */
  async lookup(keys: readonly string[], each = false): Promise<Looked[]> {
    const looked: Looked[] = [];
    for (const [index, key] of keys.entries()) {
      const router = this.#routers[each ? index % this.#routers.length : 0];
      if (router !== undefined) looked.push(await lookup(router, key));
    }
    return looked;
  }

  /** Looks up a key until it is found; returns the time, as `now()` tells it. */
  async watch(key: string): Promise<number> {
    const [router] = this.#routers;
    const end = now() + WATCH_MS;
    while (router !== undefined && now() < end) {
      for await (const _ of router.lookup(key, AbortSignal.timeout(1_000))) return now();
      await sleep(POLL_MS);
    }
    throw new Error(`${key} was not found within ${WATCH_MS} ms`);
  }
}

async function lookup(router: Libp2pRouter, key: string): Promise<Looked> {
  const started = now();
  let firstMs: number | undefined;
  for await (const _ of router.lookup(key, AbortSignal.timeout(5_000))) {
    firstMs ??= now() - started;
  }
  return { firstMs, totalMs: now() - started };
}
