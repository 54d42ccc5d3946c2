import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KnownSizes } from '../../lib/mirror/fleet.ts';
import { digestOf } from '../../lib/oci/digest.ts';

test('the known sizes are bounded', () => {
  const sizes = new KnownSizes();
  const digests = Array.from({ length: 5_000 }, (_, at) => digestOf(Buffer.from(`${at}`)));
  for (const digest of digests) {
    sizes.learn({ mediaType: '', children: [{ digest, size: 1, mediaType: undefined }] });
  }
  assert.equal(digests.filter((digest) => sizes.get(digest) !== undefined).length, 4_096);
});

test('manifests that contradict each other about a size are not believed', () => {
  const digest = digestOf(Buffer.from('x'));
  const sizes = new KnownSizes();
  const manifest = (size: number) => ({
    mediaType: '',
    children: [{ digest, size, mediaType: undefined }],
  });
  sizes.learn(manifest(1));
  sizes.learn(manifest(1));
  assert.equal(sizes.get(digest), 1);
  sizes.learn(manifest(2));
  assert.equal(sizes.get(digest), undefined);
});
