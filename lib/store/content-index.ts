import type { Digest } from '../oci/digest.ts';
import { EventFeed } from './event-feed.ts';
import type { StoreEvent } from './store.ts';

/** What a store knows of a blob without opening it. */
export interface Blob {
  /** In bytes. */
  readonly size: number;
  /** Undefined if no descriptor named it. */
  readonly mediaType: string | undefined;
}

/**
 * What a store shares: its blobs, and for each tag key (`<registry>/<repository>:<tag>`) the digest
 * of its manifest.
 */
export interface StoreState<B extends Blob> {
  readonly blobs: ReadonlyMap<Digest, B>;
  readonly tags: ReadonlyMap<string, Digest>;
}

/**
 * Keeps in memory what a store shares, answers from there, and tells watchers what changes. A tag
 * counts only while its manifest is there.
 */
export class ContentIndex<B extends Blob> {
  #blobs = new Map<Digest, B>();
  #tags = new Map<string, Digest>();
  readonly #feed = new EventFeed();

  /** True after the first state was read. */
  get isKnown(): boolean {
    return this.#feed.isKnown;
  }

  blob(digest: Digest): B | undefined {
    return this.#blobs.get(digest);
  }

  resolve(reference: string): Digest | undefined {
    return this.#tags.get(reference);
  }

  /**
   * Replaces the whole state. Watchers get a snapshot, or the changes where `notify` is
   * `difference`.
   */
  replace(state: StoreState<B>, notify: 'snapshot' | 'difference'): void {
    this.#blobs = new Map(state.blobs);
    this.#tags = new Map([...state.tags].filter(([, digest]) => state.blobs.has(digest)));
    const keys = new Set<string>([...this.#blobs.keys(), ...this.#tags.keys()]);
    if (notify === 'snapshot' || !this.#feed.isKnown) this.#feed.replace(keys);
    else this.#feed.change(keys);
  }

  /** Forgets all content, for a store that is gone. A state that was never known stays unknown. */
  clear(): void {
    if (this.isKnown) this.replace({ blobs: new Map(), tags: new Map() }, 'difference');
  }

  /** Adds blobs and tags. A media type that is already known stays. */
  add(state: StoreState<B>): void {
    const added: string[] = [];
    for (const [digest, blob] of state.blobs) {
      const known = this.#blobs.get(digest);
      if (known === undefined) added.push(digest);
      // The first media type counts: another image may give a shared layer any other type.
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

  /** Forgets a blob that is gone, and the tags of its manifest. */
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
