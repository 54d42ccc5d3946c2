import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { Instruments, Labels } from '../../lib/base/instruments.ts';
import { type Logger, silentLogger } from '../../lib/base/log.ts';
import { HttpServer } from '../../lib/http/server.ts';
import { Mirror, type MirrorSettings, type UpstreamCheck } from '../../lib/mirror/mirror.ts';
import { Sharing, type SharingSettings } from '../../lib/mirror/sharing.ts';
import type { NetworkKeys } from '../../lib/network-key/network-key.ts';
import { type Digest, digestOf } from '../../lib/oci/digest.ts';
import { Registry, type RegistrySettings } from '../../lib/registry/registry.ts';
import type { Candidate, LookupOptions, Router } from '../../lib/routing/router.ts';
import type { ContentStore, InflightSources, Reader, Source } from '../../lib/store/store.ts';
import type { InflightClient } from '../../lib/tracker/tracker-client.ts';
import type { TagDecider } from '../../lib/upstream/tag-decision.ts';
import { ToldJudge } from './told-judge.ts';

/** Something to be stopped when the test ends. */
export type Cleanup = (stop: () => Promise<void> | void) => void;

/** A content store in memory. */
export class MemoryStore implements ContentStore {
  readonly content = new Map<Digest, Uint8Array>();
  readonly tags = new Map<string, Digest>();
  /** Readers that are open now. */
  open = 0;

  add(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    this.content.set(digest, bytes);
    return digest;
  }

  async resolve(reference: string): Promise<Digest | undefined> {
    return this.tags.get(reference);
  }

  async source(digest: Digest): Promise<Source | undefined> {
    const bytes = this.content.get(digest);
    if (bytes === undefined) return undefined;
    const open = async (): Promise<Reader> => this.#reader(bytes);
    return { digest, size: bytes.byteLength, mediaType: undefined, open };
  }

  #reader(bytes: Uint8Array): Reader {
    this.open += 1;
    let isOpen = true;
    return {
      read: async (buffer, position) => {
        const piece = bytes.subarray(position, position + buffer.byteLength);
        buffer.set(piece);
        return piece.byteLength;
      },
      close: async () => {
        if (isOpen) this.open -= 1;
        isOpen = false;
      },
    };
  }

  async *watch(): AsyncGenerator<never> {}

  isReady(): boolean {
    return true;
  }
}

/** A router that names what the test puts into it. */
export class FakeRouter implements Router {
  candidates: Candidate[] = [];
  lookups = 0;
  readonly suspected: string[] = [];
  /** How long the lookup goes on after the last candidate. */
  lingerMs = 0;

  /** A prefetch has found nobody: a lookup that takes its word ends at once, and names nobody. */
  keepsMiss = false;
  /** Whether each lookup took a miss that is remembered. */
  readonly tookMiss: boolean[] = [];
  /** The keys of each prefetch. */
  readonly prefetched: (readonly string[])[] = [];

  async *lookup(
    _key: string,
    signal: AbortSignal,
    { takesKeptMiss = false }: LookupOptions = {},
  ): AsyncGenerator<Candidate> {
    this.lookups += 1;
    this.tookMiss.push(takesKeptMiss);
    if (takesKeptMiss && this.keepsMiss) return;
    for (const candidate of this.candidates) yield candidate;
    if (this.lingerMs > 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.lingerMs);
        signal.addEventListener('abort', () => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  prefetch(keys: readonly string[]): void {
    this.prefetched.push(keys);
  }

  advertise(): void {}
  withdraw(): void {}
  suspect(peerId: string): void {
    this.suspected.push(peerId);
  }
}

/** Instruments that remember: `count('spegel…', labels)` are the fields' names. */
export class FakeInstruments {
  readonly counts = new Map<string, number>();
  readonly instruments: Instruments = new Proxy({} as Instruments, {
    get: (_target, name) => ({
      inc: (labels: Labels, value = 1) => {
        const key = `${String(name)} ${JSON.stringify(labels)}`;
        this.counts.set(key, (this.counts.get(key) ?? 0) + value);
      },
      set: () => {},
      observe: () => {},
    }),
  });
}

export const upstreamGone: UpstreamCheck = { known: () => undefined, answers: async () => false };
export const upstreamThere: UpstreamCheck = { known: () => undefined, answers: async () => true };

function deciderBy(upstream: UpstreamCheck): TagDecider {
  return {
    decide: ({ registry }) => ({
      mayAnswer: upstream.answers(registry).then((answers) => !answers),
      recordAnswer: async () => {},
    }),
    markResolved: async () => {},
  };
}

/** The headers of this host's containerd. */
export const AS_CONTAINERD = { 'User-Agent': 'containerd/2.1.9' };

export interface Node {
  readonly server: HttpServer;
  readonly mirror: Mirror;
  readonly store: MemoryStore;
  readonly router: FakeRouter;
  readonly metrics: FakeInstruments;
  readonly peerId: string;
  /** `127.0.0.1:port` */
  readonly address: string;
  readonly url: string;
  readonly judge: ToldJudge;
  readonly candidate: Candidate;
}

export interface NodeOptions
  extends Partial<MirrorSettings>,
    Partial<RegistrySettings>,
    Partial<SharingSettings> {
  readonly upstream?: UpstreamCheck;
  /** By default the fleet answers tags where `upstream` does not answer. */
  readonly tagDecider?: TagDecider;
  readonly store?: ContentStore;
  readonly drainMs?: number;
  readonly own?: { has(address: string | undefined): boolean };
  /** The client of the trackers; without it the node follows no peer. */
  readonly tracker?: InflightClient;
  /** What the node is still getting; without it the node has nobody follow it. */
  readonly inflight?: InflightSources;
  /** Closes the network. */
  readonly networkKeys?: NetworkKeys;
  readonly log?: Logger;
}

let nodes = 0;

/** A real registry with mirror on a real socket, over a memory store and a fake router. */
export async function startNode(cleanup: Cleanup, options: NodeOptions = {}): Promise<Node> {
  nodes += 1;
  const peerId = `node-${nodes}`;
  const store = new MemoryStore();
  const router = new FakeRouter();
  const metrics = new FakeInstruments();
  const judge = new ToldJudge();
  const { instruments } = metrics;
  const { networkKeys, log = silentLogger } = options;
  const mirror = new Mirror(
    {
      router,
      log,
      instruments,
      upstream: options.upstream ?? upstreamGone,
      judge,
      sharing: sharingOf(options),
      networkKeys,
    },
    {
      resolveTimeoutMs: options.resolveTimeoutMs ?? 200,
      resolveRetries: options.resolveRetries ?? 3,
      dataDir: options.dataDir,
    },
  );
  await mirror.start(new AbortController().signal);
  cleanup(() => mirror.stop());
  const registry = new Registry(
    {
      store: options.store ?? store,
      mirror,
      tagDecider: options.tagDecider ?? deciderBy(options.upstream ?? upstreamGone),
      log,
      instruments,
      peerId,
      inflight: options.inflight,
      networkKeys,
      ...(options.own ? { own: options.own } : {}),
    },
    {
      filters: options.filters ?? { mirroredRegistries: [], registryFilters: [] },
      parallelFetch: options.parallelFetch ?? false,
      mirrorClients: options.mirrorClients ?? (networkKeys === undefined ? 'any' : 'host'),
      standStillMs: options.standStillMs ?? 5_000,
    },
  );
  const server = new HttpServer(
    { handler: (...args) => registry.handle(...args), log },
    {
      address: { host: '127.0.0.1', port: 0 },
      name: 'registry',
      option: '--registry-addr',
      drainMs: options.drainMs ?? 50,
    },
  );
  await server.start(new AbortController().signal);
  cleanup(() => server.stop());
  const address = `127.0.0.1:${server.port}`;
  const candidate = { peerId, addresses: [address] };
  const url = `http://${address}`;
  return {
    server,
    mirror,
    store,
    router,
    metrics,
    peerId,
    address,
    url,
    judge,
    candidate,
  };
}

function sharingOf({ tracker, ...options }: NodeOptions): Sharing | undefined {
  const { inflightWaitMs = 300, minSourceRate = 0, rateWindowMs } = options;
  const { starvedWaitMs = inflightWaitMs } = options;
  const window = rateWindowMs === undefined ? {} : { rateWindowMs };
  return (
    tracker && new Sharing(tracker, { inflightWaitMs, starvedWaitMs, minSourceRate, ...window })
  );
}

/** Deterministic enough: random bytes and their digest. */
export function blob(size: number): { readonly bytes: Buffer; readonly digest: Digest } {
  const bytes = randomBytes(size);
  return { bytes, digest: digestOf(bytes) };
}

/** A manifest with one config and layers of the given blobs. */
export function manifestOf(layers: readonly Buffer[]): Buffer {
  const descriptors = layers.map((bytes) => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest: digestOf(bytes),
    size: bytes.byteLength,
  }));
  const [config, ...rest] = descriptors;
  return Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: rest }));
}

export function blobPath(digest: string): string {
  return `/v2/test/app/blobs/${digest}?ns=example.com`;
}

export function manifestPath(target: string): string {
  return `/v2/test/app/manifests/${target}?ns=example.com`;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Compares bytes. (`assert.deepEqual` of megabytes that differ makes a diff and takes all memory
 * for it.)
 */
export function assertSame(actual: Buffer, expected: Uint8Array): void {
  if (actual.equals(expected)) return;
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  assert.fail(`${actual.byteLength} of ${expected.byteLength} bytes, first difference at ${at}`);
}
