import { untilAborted } from '../base/abortable.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { FilterSettings } from '../oci/filters.ts';
import {
  type ContainerdProxy,
  type ContainerdProxySource,
  UNKNOWN_PROXY,
} from '../proxy/containerd-proxy.ts';
import { ContentIndex } from '../store/content-index.ts';
import { ManifestCache } from '../store/manifest-cache.ts';
import { OpenFiles } from '../store/open-files.ts';
import type {
  ContentStore,
  InflightSource,
  InflightSources,
  Source,
  StoreEvent,
} from '../store/store.ts';
import { ContainerdApi } from './api.ts';
import { BlobAccess, type ContainerdBlob } from './blob-access.ts';
import { ContainerdClient } from './client.ts';
import {
  EXPECTED_MS,
  LOOKUP_DEADLINE_MS,
  MAX_EXPECTED,
  MAX_LOOKUPS,
  SWEEP_INTERVAL_MS,
} from './constants.ts';
import { discardIngests } from './discard-ingests.ts';
import { IngestContent, type IngestSettings } from './ingest/ingest-content.ts';
import { IngestDirectory } from './ingest/ingest-directory.ts';
import { IngestJudge } from './ingest/ingest-judge.ts';
import { SharedNamespaces } from './namespaces.ts';
import { ProxyReader } from './proxy-reader.ts';
import { ContainerdPulls } from './pulls.ts';
import { type SessionParts, Sessions } from './session.ts';
import { checkSocket } from './socket.ts';
import { StateReader } from './state-reader.ts';

export interface ContainerdStoreSettings {
  /** Path of containerd's gRPC socket. */
  readonly socket: string;
  /** Namespaces to share; `['*']` for all, including ones that are created later. */
  readonly namespaces: readonly string[];
  /** Root of the content store. Undefined to ask containerd, or else use its default. */
  readonly contentPath: string | undefined;
  readonly filters: FilterSettings;
  /** The proxy of containerd as the setup noted it; unknown by default. */
  readonly notedProxy?: ContainerdProxy;
  /** Milliseconds between two scans of everything; five minutes by default. */
  readonly sweepIntervalMs?: number;
  /** When an ingest counts as stalled. */
  readonly ingest?: IngestSettings;
}

/**
 * The content store of a containerd. Answers come from memory and files, so they do not wait for a
 * containerd that hangs or has stopped. See `Sessions` for what happens when it restarts.
 */
export class ContainerdStore implements ContentStore, InflightSources, ContainerdProxySource, Part {
  /** The pulls that containerd is doing. */
  readonly pulls: ContainerdPulls;
  /** Judges the bytes that containerd downloads. */
  readonly judge: IngestJudge;
  readonly #settings: ContainerdStoreSettings;
  readonly #client: ContainerdClient;
  readonly #parts: SessionParts;
  readonly #sessions: Sessions;
  readonly #inflight: IngestContent;
  readonly #files = new OpenFiles();
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #lookups = 0;

  constructor({ log }: { readonly log: Logger }, settings: ContainerdStoreSettings) {
    this.#settings = settings;
    this.#client = new ContainerdClient(settings.socket);
    const api = new ContainerdApi(this.#client);
    const blobs = new BlobAccess(this.#client, this.#files, log);
    this.pulls = new ContainerdPulls(api);
    const manifests = new ManifestCache();
    const namespaces = new SharedNamespaces(settings.namespaces);
    this.#parts = {
      api,
      blobs,
      index: new ContentIndex<ContainerdBlob>(),
      expected: new ExpiringMap<true>(MAX_EXPECTED),
      namespaces,
      pulls: this.pulls,
      reader: new StateReader({ api, blobs, manifests, log }, settings.filters),
      proxy: new ProxyReader(
        { api, log },
        { socket: settings.socket, noted: settings.notedProxy ?? UNKNOWN_PROXY },
      ),
      log,
    };
    const { socket, contentPath, sweepIntervalMs = SWEEP_INTERVAL_MS } = settings;
    this.#sessions = new Sessions(this.#parts, { socket, contentPath, sweepIntervalMs });
    const ingests = new IngestDirectory();
    const root = () => blobs.root;
    const discard = (digest: Digest, signal: AbortSignal) =>
      discardIngests({ api, log }, digest, signal);
    this.judge = new IngestJudge({ ingests, root, discard, log });
    this.#inflight = new IngestContent(
      { namespaces, ingests, judge: this.judge, files: this.#files, root },
      settings.ingest,
    );
  }

  /**
   * Does not wait for containerd. Throws ERR_SOCKET if the path of the socket can never be used.
   */
  async start(signal: AbortSignal): Promise<void> {
    await checkSocket(this.#settings.socket);
    this.#running = this.#sessions.run(AbortSignal.any([signal, this.#stopping.signal]));
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the store was stopped'));
    await Promise.all([this.#inflight.stop(), this.judge.stop()]);
    await this.#running;
    await this.#files.close();
    this.#client.close();
  }

  isReady(): boolean {
    return this.#sessions.current !== undefined;
  }

  containerdProxy(): ContainerdProxy {
    return this.#parts.proxy.containerdProxy();
  }

  watch(signal: AbortSignal): AsyncIterable<StoreEvent> {
    return this.#parts.index.watch(signal);
  }

  async resolve(reference: string, signal: AbortSignal): Promise<Digest | undefined> {
    signal.throwIfAborted();
    return this.#parts.index.resolve(reference);
  }

  inflightSource(digest: Digest, signal: AbortSignal): Promise<InflightSource | undefined> {
    return this.#inflight.inflightSource(digest, signal);
  }

  awaitInflightSource(
    digest: Digest,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<InflightSource | undefined> {
    return this.#inflight.awaitInflightSource(digest, waitMs, signal);
  }

  isBarred(digest: Digest): boolean {
    return this.#inflight.isBarred(digest);
  }

  expect(digest: Digest): void {
    this.#parts.expected.set(digest, true, EXPECTED_MS);
  }

  completeSize(digest: Digest): number | undefined {
    return this.#parts.index.blob(digest)?.size;
  }

  /** Rejects with the signal's reason, or as `open` does when the disk fails. */
  async source(digest: Digest, signal: AbortSignal, which?: 'known'): Promise<Source | undefined> {
    signal.throwIfAborted();
    const known = this.#parts.index.blob(digest);
    const blob = known ?? (which === 'known' ? undefined : await this.#lookUp(digest, signal));
    if (blob === undefined) return undefined;
    const source = await untilAborted(this.#parts.blobs.source(digest, blob), signal);
    if (source === undefined) this.#parts.index.drop(digest);
    return source;
  }

  /**
   * Asks containerd for a blob that the index does not have: a new blob may be requested before its
   * event comes.
   */
  async #lookUp(digest: Digest, signal: AbortSignal): Promise<ContainerdBlob | undefined> {
    const session = this.#sessions.current;
    if (session === undefined || this.#lookups >= MAX_LOOKUPS) return undefined;
    this.#lookups += 1;
    try {
      const findings = await Promise.allSettled(
        this.#parts.namespaces
          .names()
          .map((name) => this.#parts.reader.readContent(name, digest, signal, LOOKUP_DEADLINE_MS)),
      );
      signal.throwIfAborted();
      for (const finding of findings) {
        if (finding.status === 'rejected' || typeof finding.value === 'string') continue;
        const blob = finding.value;
        session.queue({ type: 'content', namespace: blob.namespace, digest, attempt: 0 });
        return blob;
      }
      return undefined;
    } finally {
      this.#lookups -= 1;
    }
  }
}
