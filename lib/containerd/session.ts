import { delay, untilAborted } from '../base/abortable.ts';
import type { Logger } from '../base/log.ts';
import type { ContentIndex } from '../store/content-index.ts';
import type { ContainerdApi } from './api.ts';
import { type BlobAccess, type ContainerdBlob, DEFAULT_CONTENT_ROOT } from './blob-access.ts';
import { type ContainerdEvent, subscribe } from './events.ts';
import type { SharedNamespaces } from './namespaces.ts';
import type { ProxyReader } from './proxy-reader.ts';
import type { ContainerdPulls } from './pulls.ts';
import type { StateReader } from './state-reader.ts';
import { type Task, TaskQueue } from './task-queue.ts';

/** How often it is asked whether containerd still answers: a frozen one does not break its connection. */
const HEARTBEAT_MS = 5_000;

/**
 * Looks again for the labels of a blob that has just landed, after so many milliseconds each. Usually they
 * follow within milliseconds; a disk under the load of a pull can take seconds.
 */
const LABEL_RETRIES_MS = [20, 100, 400, 1_500, 5_000, 15_000];

/** After a delete: garbage collection on request (`--sync`, CRI) is over by the first, the scheduler's by the second. */
const AFTER_DELETE_MS = 1_000;
const AFTER_COLLECTION_MS = 10_000;

/** A second look after the first scan, for what happened while the subscription was being set up. */
const SETTLE_MS = 2_000;

export interface SessionSettings {
  /** Root of the content store, or undefined: asked from containerd. */
  readonly contentPath: string | undefined;
  readonly sweepIntervalMs: number;
}

export interface SessionParts {
  readonly api: ContainerdApi;
  readonly blobs: BlobAccess;
  readonly index: ContentIndex<ContainerdBlob>;
  readonly namespaces: SharedNamespaces;
  readonly reader: StateReader;
  readonly pulls: ContainerdPulls;
  readonly proxy: ProxyReader;
  readonly log: Logger;
}

/**
 * The time between containerd answering and containerd being gone: reads the state, then follows the events.
 * The only one that adds to the index, one task after the other.
 */
export class Session {
  readonly #parts: SessionParts;
  readonly #settings: SessionSettings;
  readonly #queue = new TaskQueue();

  constructor(parts: SessionParts, settings: SessionSettings) {
    this.#parts = parts;
    this.#settings = settings;
  }

  /** Runs until containerd fails to answer, or the signal is aborted, and rejects with why. Calls `onRead` when the state was read. */
  async run(signal: AbortSignal, onRead: () => void): Promise<never> {
    try {
      await this.#useContentRoot(signal);
      return await untilOneFails(signal, [
        // Beside the rest: without the process' number it is a search that takes seconds on a busy
        // host.
        (within) => this.#lookAtProxy(within),
        (within) => this.#listen(within),
        (within) => this.#work(within, onRead),
        (within) => this.#beat(within),
        (within) => this.#sweep(within),
      ]);
    } finally {
      this.#parts.pulls.stopFollowing();
      this.#queue.close();
    }
  }

  /** Looks at a blob out of turn: somebody asked for it before its event came. */
  look(task: Task): void {
    this.#queue.push(task);
  }

  async #useContentRoot(signal: AbortSignal): Promise<void> {
    const { api, blobs, log } = this.#parts;
    const root =
      this.#settings.contentPath ?? (await api.contentRoot(signal)) ?? DEFAULT_CONTENT_ROOT;
    blobs.useRoot(root);
    log.debug('content store', { root });
  }

  /** Once; ends with the session. */
  async #lookAtProxy(signal: AbortSignal): Promise<void> {
    await this.#parts.proxy.read(signal);
    await untilAborted(new Promise<never>(() => {}), signal);
  }

  async #listen(signal: AbortSignal): Promise<void> {
    for await (const event of subscribe(this.#parts.api.client, signal)) this.#onEvent(event);
    throw new Error('containerd ended the stream of events');
  }

  #onEvent(event: ContainerdEvent): void {
    const { namespace } = event;
    // Of all namespaces: a pull into one that is not shared asks for its tag here, too.
    if (event.type === 'image-changed') this.#parts.pulls.imageChanged(event.name);
    if (!this.#parts.namespaces.has(namespace)) return;
    if (event.type === 'content-created') {
      this.#queue.push({ type: 'content', namespace, digest: event.digest, attempt: 0 });
    } else if (event.type === 'image-changed') {
      this.#queue.push({ type: 'image', namespace, name: event.name });
    } else {
      this.#queue.scanLater(AFTER_DELETE_MS, 'keep');
      this.#queue.scanLater(AFTER_COLLECTION_MS, 'restart');
    }
  }

  async #work(signal: AbortSignal, onRead: () => void): Promise<void> {
    await this.#scan('snapshot', signal);
    // The subscription was asked for before the scan, over the same connection.
    this.#parts.pulls.startFollowing();
    onRead();
    this.#queue.scanLater(SETTLE_MS, 'keep');
    for (;;) await this.#do(await this.#queue.next(signal), signal);
  }

  async #do(task: Task, signal: AbortSignal): Promise<void> {
    if (task.type === 'scan') return this.#scan(task.told, signal);
    if (task.type === 'content') return this.#content(task, signal);
    const state = await this.#parts.reader.readImage(task.namespace, task.name, signal);
    this.#parts.index.add(state);
  }

  async #scan(told: 'snapshot' | 'difference', signal: AbortSignal): Promise<void> {
    const { api, index, log, namespaces, reader } = this.#parts;
    const began = performance.now();
    await namespaces.refresh(api, signal);
    const state = await reader.readAll(namespaces.names(), signal);
    index.replace(state, told);
    const ms = Math.round(performance.now() - began);
    log.debug('read containerd', { blobs: state.blobs.size, tags: state.tags.size, ms });
  }

  async #content(task: Extract<Task, { type: 'content' }>, signal: AbortSignal): Promise<void> {
    const { namespace, digest, attempt } = task;
    const { index, reader } = this.#parts;
    if (index.blob(digest) !== undefined) return;
    const found = await reader.readContent(namespace, digest, signal);
    if (typeof found !== 'string') {
      index.add({ blobs: new Map([[digest, found]]), tags: new Map() });
    } else if (found === 'unlabelled') {
      const ms = LABEL_RETRIES_MS[attempt];
      if (ms !== undefined) this.#queue.pushLater(ms, { ...task, attempt: attempt + 1 });
    }
  }

  async #beat(signal: AbortSignal): Promise<void> {
    for (;;) {
      await delay(HEARTBEAT_MS, signal);
      await this.#parts.api.version(signal);
    }
  }

  /** What garbage collection took without an event, and what else was missed. */
  async #sweep(signal: AbortSignal): Promise<void> {
    for (;;) {
      await delay(this.#settings.sweepIntervalMs, signal);
      this.#queue.push({ type: 'scan', told: 'snapshot' });
    }
  }
}

/** Runs jobs side by side. When one ends, the others are aborted and waited for; rejects with the first reason. */
async function untilOneFails(
  signal: AbortSignal,
  jobs: readonly ((signal: AbortSignal) => Promise<void>)[],
): Promise<never> {
  const ending = new AbortController();
  const within = AbortSignal.any([signal, ending.signal]);
  const end = (reason: unknown) => ending.abort(reason);
  await Promise.all(jobs.map((job) => job(within).then(end, end)));
  throw ending.signal.reason;
}
