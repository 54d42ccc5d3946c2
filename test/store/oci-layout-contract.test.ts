import { randomUUID } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { digestsOf } from '../../lab/fleet/fleet.ts';
import { type Layout, makeImage } from '../../lab/images/images.ts';
import { silentLogger } from '../../lib/base/log.ts';
import { OciLayoutStore } from '../../lib/store/oci-layout-store.ts';
import { contentStoreContract } from '../contract/content-store.ts';

interface Entry {
  readonly annotations: Record<string, string>;
}

const REF_NAME = 'org.opencontainers.image.ref.name';

/** A layout into which images are put as skopeo does: blobs first, then index.json. */
class Directory {
  readonly path: string;
  readonly #images = new Map<string, Layout>();

  constructor(path: string) {
    this.path = path;
  }

  async add(image: Layout, reference: string): Promise<void> {
    await mkdir(join(this.path, 'blobs'), { recursive: true });
    await cp(join(image.dir, 'blobs'), join(this.path, 'blobs'), { recursive: true });
    const index = JSON.parse(await readFile(join(image.dir, 'index.json'), 'utf8'));
    const [entry] = index.manifests as Entry[];
    const named = { ...entry, annotations: { [REF_NAME]: reference } };
    await this.#write([...(await this.#entries()), named]);
    this.#images.set(reference, image);
  }

  async remove(reference: string): Promise<void> {
    const entries = await this.#entries();
    await this.#write(entries.filter((entry) => entry.annotations[REF_NAME] !== reference));
    const image = this.#images.get(reference);
    for (const digest of image === undefined ? [] : digestsOf(image)) await this.lose(digest);
  }

  async lose(digest: string): Promise<void> {
    await rm(join(this.path, 'blobs', ...digest.split(':')), { force: true });
  }

  async #entries(): Promise<Entry[]> {
    const text = await readFile(join(this.path, 'index.json'), 'utf8').catch(() => undefined);
    return text === undefined ? [] : JSON.parse(text).manifests;
  }

  async #write(manifests: readonly object[]): Promise<void> {
    const file = join(this.path, 'index.json');
    await writeFile(`${file}.new`, JSON.stringify({ schemaVersion: 2, manifests }));
    await rename(`${file}.new`, file);
  }
}

contentStoreContract({
  name: 'oci layout',
  skip: false,
  async create(t: TestContext, filters) {
    const dir = await mkdtemp(join(tmpdir(), 'spegel-layout-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const directory = new Directory(join(dir, 'layout'));
    const store = new OciLayoutStore({ log: silentLogger }, { path: directory.path, filters });
    return {
      store,
      add: (image, reference) => directory.add(image, reference),
      remove: (reference) => directory.remove(reference),
      lose: (digest) => directory.lose(digest),
      makeImage: (seed) =>
        makeImage(join(dir, randomUUID()), { seed, layers: 2, layerBytes: 100_000 }),
    };
  },
});
