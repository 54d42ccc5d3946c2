import type { Digest } from '../oci/digest.ts';
import { EventFeed } from './event-feed.ts';
import type { StoreEvent } from './store.ts';

/** What is known of a blob without touching it. */
export interface Blob {
  /** Bytes. */
  readonly size: number;
  /** Undefined where no descriptor named it. */
  readonly mediaType: string | undefined;
}

/** All that a store shares: its blobs, and the manifests that tag keys (`<registry>/<repository>:<tag>`) stand for. */
export interface StoreState<B extends Blob> {
  readonly blobs: ReadonlyMap<Digest, B>;
  readonly tags: ReadonlyMap<string, Digest>;
}

/**
 * The memory of a store: what it shares now, answered without asking anybody, and its changes as events. A tag
 * counts only while its manifest is there.
 */
export class ContentIndex<B extends Blob> {
  #blobs = new Map<Digest, B>();
  #tags = new Map<string, Digest>();
  readonly #feed = new EventFeed();

  /** True once a state was read. */
  get isKnown(): boolean {
    return this.#feed.isKnown;
  }

  blob(digest: Digest): B | undefined {
    return this.#blobs.get(digest);
  }

  resolve(reference: string): Digest | undefined {
    return this.#tags.get(reference);
  }

  /** Takes a state that was read as a whole. Watchers get a snapshot, or with `difference` what changed. */
  replace(state: StoreState<B>, told: 'snapshot' | 'difference'): void {
    this.#blobs = new Map(state.blobs);
    this.#tags = new Map([...state.tags].filter(([, digest]) => state.blobs.has(digest)));
    const keys = new Set<string>([...this.#blobs.keys(), ...this.#tags.keys()]);
    if (told === 'snapshot' || !this.#feed.isKnown) this.#feed.replace(keys);
    else this.#feed.change(keys);
  }

  /** Forgets everything: what was there is no longer. A state that was never known stays unknown. */
  clear(): void {
    if (this.isKnown) this.replace({ blobs: new Map(), tags: new Map() }, 'difference');
  }

  /** Adds what appeared. A media type that is known already stays known. */
  add(state: StoreState<B>): void {
    const added: string[] = [];
    for (const [digest, blob] of state.blobs) {
      const known = this.#blobs.get(digest);
      if (known === undefined) added.push(digest);
      // The first one counts: another image may call a layer that it shares whatever it likes.
      if (known?.mediaType === undefined) this.#blobs.set(digest, blob);
      else this.#blobs.set(digest, { ...blob, mediaType: known.mediaType });
    }
    for (const [tag, digest] of state.tags) {
      if (!this.#blobs.has(digest)) continue;
      this.#tags.set(tag, digest);
      added.push(tag);
    }
    this.#feed.update({ added });
  }

  /** Forgets a blob that is gone, with the tags that stand for it. */
  drop(digest: Digest): void {
    if (!this.#blobs.delete(digest)) return;
    const tags = [...this.#tags].filter(([, target]) => target === digest).map(([tag]) => tag);
    for (const tag of tags) this.#tags.delete(tag);
    this.#feed.update({ removed: [digest, ...tags] });
  }

  watch(signal: AbortSignal): AsyncIterable<StoreEvent> {
    return this.#feed.watch(signal);
  }
}
