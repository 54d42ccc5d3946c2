import { rm } from 'node:fs/promises';
import { after, before, type TestContext } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { silentLogger } from '../../lib/base/log.ts';
import { ContainerdStore } from '../../lib/containerd/store.ts';
import { contentStoreContract } from '../contract/content-store.ts';
import { NamespaceImages } from './namespace-images.ts';

const VERSIONS = ['2.1', '1.7', '1.6'] as const;
const skip = await labMissing();
let lab: Lab;

before(async () => {
  if (skip === false) lab = await Lab.create({ hosts: VERSIONS.length, containerd: VERSIONS });
});
after(() => lab?.dispose());

VERSIONS.forEach((version, index) => {
  contentStoreContract({
    name: `containerd ${version}`,
    skip,
    async create(_t: TestContext, filters) {
      const { containerd } = lab.host(index);
      const images = new NamespaceImages(lab, containerd);
      const store = new ContainerdStore(
        { log: silentLogger },
        {
          socket: containerd.socket,
          namespaces: [images.name],
          contentPath: undefined,
          filters,
        },
      );
      return {
        store,
        add: (image, reference) => images.import(image, reference),
        remove: (reference) => images.remove(reference),
        lose: (digest) => rm(containerd.blobPath(digest)),
        makeImage: (seed) => images.make(seed),
      };
    },
  });
});
