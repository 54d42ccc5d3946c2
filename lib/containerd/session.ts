import { delay, untilAborted } from '../base/abortable.ts';
import { messageOf } from '../base/errors.ts';
import type { ExpiringMap } from '../base/expiring-map.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { ContentIndex } from '../store/content-index.ts';
import type { ContainerdApi } from './api.ts';
import { type BlobAccess, type ContainerdBlob, DEFAULT_CONTENT_ROOT } from './blob-access.ts';
import {
  HEARTBEAT_MS,
  LABEL_RETRIES_MS,
  MAX_SESSION_PAUSE_MS,
  MIN_SESSION_PAUSE_MS,
  SCAN_AFTER_COLLECTION_MS,
  SCAN_AFTER_DELETE_MS,
  SCAN_AFTER_SUBSCRIBE_MS,
} from './constants.ts';
import { type ContainerdEvent, subscribe } from './events.ts';
import type { SharedNamespaces } from './namespaces.ts';
import type { ProxyReader } from './proxy-reader.ts';
import type { ContainerdPulls } from './pulls.ts';
import type { StateReader } from './state-reader.ts';
import { type Task, TaskQueue } from './task-queue.ts';

export interface SessionSettings {
  /** Path of containerd's socket. */
  readonly socket: string;
  /** Root of the content store, or undefined to ask containerd. */
  readonly contentPath: string | undefined;
  readonly sweepIntervalMs: number;
}

export interface SessionParts {
  readonly api: ContainerdApi;
  readonly blobs: BlobAccess;
  readonly index: ContentIndex<ContainerdBlob>;
  /** Digests that containerd has asked for by a name that may be shared. */
  readonly expected: ExpiringMap<true>;
  readonly namespaces: SharedNamespaces;
  readonly reader: StateReader;
  readonly pulls: ContainerdPulls;
  readonly proxy: ProxyReader;
  readonly log: Logger;
}

/**
 * Follows containerd over its restarts, one session after another. A session ends when the stream
 * of events breaks or a heartbeat fails, which means that containerd has stopped or hangs. The
 * index keeps its state meanwhile, and this host goes on serving blobs from files. The next session
 * begins when containerd answers again. It asks for the content root and the proxy, reads the whole
 * state, and gives the watchers of the store a snapshot.
 */
export class Sessions {
  readonly #parts: SessionParts;
  readonly #settings: SessionSettings;
  #current: Session | undefined;

  constructor(parts: SessionParts, settings: SessionSettings) {
    this.#parts = parts;
    this.#settings = settings;
  }

  /** The session that follows containerd now, or undefined if its state has not been read. */
  get current(): Session | undefined {
    return this.#current;
  }

  /** Runs until the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { socket } = this.#settings;
    const { log } = this.#parts;
    let failures = 0;
    while (!signal.aborted) {
      const session = new Session(this.#parts, this.#settings);
      const onRead = () => {
        failures = 0;
        this.#current = session;
        log.info('following containerd', { socket });
      };
      try {
        await session.run(signal, onRead);
      } catch (error) {
        this.#current = undefined;
        if (signal.aborted) return;
        const fields = { socket, error: messageOf(error) };
        if (failures === 0) log.warn('containerd does not answer, waiting for it', fields);
        failures += 1;
      }
      const pause = Math.min(MIN_SESSION_PAUSE_MS * 2 ** failures, MAX_SESSION_PAUSE_MS);
      await delay(pause, signal).catch(() => {});
    }
  }
}

/**
 * Follows one run of containerd: reads its state, then applies its events one by one. Only a
 * session adds to the index.
 */
export class Session {
  readonly #parts: SessionParts;
  readonly #settings: SessionSettings;
  readonly #queue = new TaskQueue();

  constructor(parts: SessionParts, settings: SessionSettings) {
    this.#parts = parts;
    this.#settings = settings;
  }

  /**
   * Runs until containerd does not answer or the signal is aborted. Rejects with the reason. Calls
   * `onRead` when the state has been read.
   */
  async run(signal: AbortSignal, onRead: () => void): Promise<never> {
    try {
      await this.#useContentRoot(signal);
      return await untilOneEnds(signal, [
        // Runs beside the others. If containerd does not tell its pid, the search for its process
        // takes seconds on a busy host.
        (within) => this.#readProxy(within),
        (within) => this.#followEvents(within),
        (within) => this.#doTasks(within, onRead),
        (within) => this.#heartbeat(within),
        (within) => this.#sweep(within),
      ]);
    } finally {
      this.#parts.pulls.stopFollowing();
      this.#queue.close();
    }
  }

  /** Queues a look at a blob that was requested before its event came. */
  queue(task: Task): void {
    this.#queue.push(task);
  }

  async #useContentRoot(signal: AbortSignal): Promise<void> {
    const { api, blobs, log } = this.#parts;
    const root =
      this.#settings.contentPath ?? (await api.contentRoot(signal)) ?? DEFAULT_CONTENT_ROOT;
    blobs.useRoot(root);
    log.debug('content store', { root });
  }

  /** Reads the proxy once. Then waits: a job that ends would end the session. */
  async #readProxy(signal: AbortSignal): Promise<void> {
    await this.#parts.proxy.read(signal);
    await untilAborted(new Promise<never>(() => {}), signal);
  }

  async #followEvents(signal: AbortSignal): Promise<void> {
    for await (const event of subscribe(this.#parts.api.client, signal)) this.#onEvent(event);
    throw new Error('containerd ended the stream of events');
  }

  #onEvent(event: ContainerdEvent): void {
    const { namespace } = event;
    // Events of all namespaces: a pull into a namespace that is not shared asks this daemon for its
    // tag too.
    if (event.type === 'image-changed') this.#parts.pulls.imageChanged(event.name);
    if (!this.#parts.namespaces.has(namespace)) return;
    if (event.type === 'content-created') {
      const { digest, size } = event;
      this.#queue.push({ type: 'content', namespace, digest, size, attempt: 0 });
    } else if (event.type === 'image-changed') {
      this.#queue.push({ type: 'image', namespace, name: event.name });
    } else {
      this.#queue.scanLater(SCAN_AFTER_DELETE_MS, 'keep');
      this.#queue.scanLater(SCAN_AFTER_COLLECTION_MS, 'restart');
    }
  }

  async #doTasks(signal: AbortSignal, onRead: () => void): Promise<void> {
    await this.#scan('snapshot', signal);
    // The subscription began before the scan, over the same connection.
    this.#parts.pulls.startFollowing();
    onRead();
    this.#queue.scanLater(SCAN_AFTER_SUBSCRIBE_MS, 'keep');
    for (;;) await this.#do(await this.#queue.next(signal), signal);
  }

  async #do(task: Task, signal: AbortSignal): Promise<void> {
    if (task.type === 'scan') return this.#scan(task.notify, signal);
    if (task.type === 'content') return this.#readContent(task, signal);
    const { index, reader } = this.#parts;
    const known = (digest: Digest) => index.blob(digest);
    index.add(await reader.readImage(task.namespace, task.name, known, signal));
  }

  async #scan(notify: 'snapshot' | 'difference', signal: AbortSignal): Promise<void> {
    const { api, index, log, namespaces, reader } = this.#parts;
    const began = performance.now();
    await namespaces.refresh(api, signal);
    const state = await reader.readAll(namespaces.names(), signal);
    index.replace(state, notify);
    const ms = Math.round(performance.now() - began);
    log.debug('read containerd', { blobs: state.blobs.size, tags: state.tags.size, ms });
  }

  async #readContent(task: Extract<Task, { type: 'content' }>, signal: AbortSignal): Promise<void> {
    const { namespace, digest, size, attempt } = task;
    const { index, reader, expected } = this.#parts;
    if (index.blob(digest) !== undefined) return;
    const isPulled = size !== undefined && expected.get(digest) === true;
    const found = isPulled
      ? { size, mediaType: undefined, namespace }
      : await reader.readContent(namespace, digest, signal);
    if (typeof found !== 'string') {
      index.add({ blobs: new Map([[digest, found]]), tags: new Map() });
    } else if (found === 'unlabelled') {
      const ms = LABEL_RETRIES_MS[attempt];
      if (ms !== undefined) this.#queue.pushLater(ms, { ...task, attempt: attempt + 1 });
    }
  }

  async #heartbeat(signal: AbortSignal): Promise<void> {
    for (;;) {
      await delay(HEARTBEAT_MS, signal);
      await this.#parts.api.version(signal);
    }
  }

  /** Scans periodically, for garbage collection and whatever else has no event. */
  async #sweep(signal: AbortSignal): Promise<void> {
    for (;;) {
      await delay(this.#settings.sweepIntervalMs, signal);
      this.#queue.push({ type: 'scan', notify: 'snapshot' });
    }
  }
}

/**
 * Runs jobs side by side. When one ends, aborts the others and waits for them. Rejects with the
 * reason of the first.
 */
async function untilOneEnds(
  signal: AbortSignal,
  jobs: readonly ((signal: AbortSignal) => Promise<void>)[],
): Promise<never> {
  const ending = new AbortController();
  const within = AbortSignal.any([signal, ending.signal]);
  const end = (reason: unknown) => ending.abort(reason);
  await Promise.all(jobs.map((job) => job(within).then(end, end)));
  throw ending.signal.reason;
}
