import { hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLogger } from '../../lib/base/log.ts';
import { parseBootstrapPeer } from '../../lib/bootstrap/peer.ts';
import { StaticBootstrapper } from '../../lib/bootstrap/static.ts';
import { Libp2pRouter } from '../../lib/routing/libp2p/router.ts';
import { OwnPeer } from '../../lib/routing/transport/own-peer.ts';
import { memory, now, receivedFrom, usage } from './meter.ts';

export interface Looked {
  /** Milliseconds to the first provider; undefined: none was found. */
  readonly firstMs: number | undefined;
  /** Milliseconds to the end of the search. */
  readonly totalMs: number;
}

export interface StartOptions {
  /** Where it listens, `ip:port`. */
  readonly endpoint: string;
  readonly peers: readonly string[];
  readonly advertiseTtlMs: number;
}

const instruments = {
  peers: { set: () => {} },
  resolveDuration: { observe: () => {} },
  identityConflict: { set: () => {} },
};
/** Between two lookups of a key that is waited for. */
const POLL_MS = 2;
const WATCH_MS = 10_000;

/** A key as a layer has one. */
export function benchKey(name: string, index: number): string {
  return `sha256:${hash('sha256', `${name}-${index}`)}`;
}

/** Many routers in one process; the methods are called over IPC. */
export class OurNodes {
  readonly #routers: Libp2pRouter[] = [];

  /** Starts one more node; its peer id. */
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

  /** Of each node. */
  peers(): number[] {
    return this.#routers.map((router) => router.peers());
  }

  usage = usage;
  memory = memory;
  receivedFrom = receivedFrom;

  /** Announces keys of the first node; the time at which it did. */
  advertise(name: string, from: number, count: number): number {
    const keys = Array.from({ length: count }, (_, index) => benchKey(name, from + index));
    const at = now();
    this.#routers[0]?.advertise(keys);
    return at;
  }

  /** Makes this process think that it is later: what is due by then is done at the next turn. */
  putClockForward(ms: number): void {
    const clock = performance.now.bind(performance);
    performance.now = () => clock() + ms;
  }

  /** Looks keys up, one after another, by the first node or by each node in turn. */
  async lookup(keys: readonly string[], each = false): Promise<Looked[]> {
    const looked: Looked[] = [];
    for (const [index, key] of keys.entries()) {
      const router = this.#routers[each ? index % this.#routers.length : 0];
      if (router !== undefined) looked.push(await lookup(router, key));
    }
    return looked;
  }

  /** Looks a key up again and again until it is found; the time at which it was. */
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
