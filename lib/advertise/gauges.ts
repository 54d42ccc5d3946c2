import type { Instruments } from '../base/instruments.ts';
import { isDigest } from '../oci/digest.ts';

/** Label value for digests, which do not have a registry. */
const NO_REGISTRY = '';

/**
 * The gauges spegel_advertised_*. Counts per registry as keys come and go, instead of all keys at
 * every event. Each tag counts as an image.
 */
export class AdvertisedGauges {
  readonly #instruments: Instruments;
  readonly #counts = new Map<string, number>();

  constructor(instruments: Instruments) {
    this.#instruments = instruments;
  }

  /** Takes new keys and keys that are gone, each once. */
  update(added: readonly string[], removed: readonly string[]): void {
    // A store without content shows 0 instead of no line.
    const changed = new Set<string>([NO_REGISTRY]);
    const count = (by: number) => (key: string) => {
      const registry = registryOf(key);
      this.#counts.set(registry, (this.#counts.get(registry) ?? 0) + by);
      changed.add(registry);
    };
    added.forEach(count(1));
    removed.forEach(count(-1));
    for (const registry of changed) this.#set(registry, this.#counts.get(registry) ?? 0);
  }

  #set(registry: string, count: number): void {
    const { advertisedKeys, advertisedImages, advertisedImageTags, advertisedImageDigests } =
      this.#instruments;
    advertisedKeys.set({ registry }, count);
    if (registry === NO_REGISTRY) {
      advertisedImageDigests.set({ registry }, count);
    } else {
      advertisedImages.set({ registry }, count);
      advertisedImageTags.set({ registry }, count);
    }
  }
}

function registryOf(key: string): string {
  return isDigest(key) ? NO_REGISTRY : key.slice(0, key.indexOf('/'));
}
