/** Imports images into a namespace of a real containerd, as an administrator does. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Containerd } from '../../lab/containerd/containerd.ts';
import type { Lab } from '../../lab/fleet/lab.ts';
import { archive } from '../../lab/images/foreign-layouts.ts';
import { type Layout, makeImage } from '../../lab/images/images.ts';
import type { FilterSettings } from '../../lib/oci/filters.ts';

export const ALL: FilterSettings = { mirroredRegistries: [], registryFilters: [] };

/** A namespace of its own. Tests share one containerd and must not see each other's images. */
export class NamespaceImages {
  readonly name = `test-${randomUUID()}`;
  readonly containerd: Containerd;
  readonly #lab: Lab;

  constructor(lab: Lab, containerd: Containerd) {
    this.#lab = lab;
    this.containerd = containerd;
  }

  make(seed: string, layers = 2, layerBytes = 100_000): Promise<Layout> {
    const dir = join(this.#lab.dir, randomUUID());
    return makeImage(dir, { seed: `${this.name}-${seed}`, layers, layerBytes });
  }

  /** `ctr images import`: content without labels of its source. */
  async import(image: Layout, reference: string): Promise<void> {
    const dir = join(this.#lab.dir, randomUUID());
    await mkdir(dir);
    const tar = join(dir, 'image.tar');
    await archive(image, tar);
    // The layout only has the tag. containerd puts it behind the base name.
    const base = reference.slice(0, reference.lastIndexOf(':'));
    const flags = ['--no-unpack', '--base-name', base];
    await this.containerd.ctr(['images', 'import', ...flags, tar], { namespace: this.name });
    const imported = `${base}:${image.tag}`;
    if (imported !== reference) {
      const { name: namespace } = this;
      await this.containerd.ctr(['images', 'tag', imported, reference], { namespace });
      await this.containerd.ctr(['images', 'remove', imported], { namespace });
    }
    await rm(dir, { recursive: true });
  }

  remove(reference: string): Promise<void> {
    return this.containerd.removeImage(reference, this.name);
  }
}
