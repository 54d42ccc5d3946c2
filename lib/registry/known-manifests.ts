import type { Digest } from '../oci/digest.ts';
import type { Manifest } from '../oci/manifest.ts';
import { MAX_KNOWN_MANIFEST_BYTES, MAX_KNOWN_MANIFESTS_BYTES } from './constants.ts';

/** The bytes of a digest, which were checked. */
export interface KnownManifest {
  readonly content: Buffer;
  /** What it points to; undefined for a type that we do not know. */
  readonly manifest: Manifest | undefined;
}

/**
 * Manifests that were read lately, in memory. To read one takes turns of the thread pool, and while
 * bodies are sent each turn waits for theirs. The bytes of a digest never change; whether the store
 * still has it must be asked of the store.
 */
export class KnownManifests {
  /** From the one that was asked for longest ago to the last one. */
  readonly #known = new Map<Digest, KnownManifest>();
  #bytes = 0;

  get(digest: Digest): KnownManifest | undefined {
    const known = this.#known.get(digest);
    if (known !== undefined) {
      this.#known.delete(digest);
      this.#known.set(digest, known);
    }
    return known;
  }

  /** Those that were asked for longest ago make room. One that is too large is not kept. */
  add(digest: Digest, known: KnownManifest): void {
    if (known.content.byteLength > MAX_KNOWN_MANIFEST_BYTES) return;
    this.#delete(digest);
    this.#known.set(digest, known);
    this.#bytes += known.content.byteLength;
    for (const oldest of this.#known.keys()) {
      if (this.#bytes <= MAX_KNOWN_MANIFESTS_BYTES) break;
      this.#delete(oldest);
    }
  }

  #delete(digest: Digest): void {
    this.#bytes -= this.#known.get(digest)?.content.byteLength ?? 0;
    this.#known.delete(digest);
  }
}
