import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLayoutIndex } from '../../lib/store/layout-index.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const index = (...manifests: unknown[]) => JSON.stringify({ schemaVersion: 2, manifests });
const nameIn = (annotations: Record<string, unknown>) =>
  parseLayoutIndex(index({ digest, size: 3, annotations }))?.[0]?.name;

test('a full name counts, containerd’s before others; a tag alone has no registry', () => {
  const refName = 'org.opencontainers.image.ref.name';
  const full = nameIn({ [refName]: 'docker.io/library/debian:12' });
  assert.equal(full?.registry, 'docker.io');
  assert.equal(full?.repository, 'library/debian');
  assert.equal(full?.tag, '12');
  assert.equal(nameIn({ [refName]: 'localhost/app:v1' })?.registry, 'localhost');
  const both = { [refName]: '12', 'io.containerd.image.name': '10.0.0.1:5000/app:v2' };
  assert.equal(nameIn(both)?.registry, '10.0.0.1:5000');
  assert.equal(nameIn({ [refName]: '12' }), undefined);
  assert.equal(nameIn({ [refName]: 'library/debian:12' }), undefined, 'library is no host');
  assert.equal(nameIn({ [refName]: 12 }), undefined);
  assert.equal(nameIn({}), undefined);
});

test('text that is not an index is undefined, and entries that are not descriptors are left out', () => {
  for (const text of ['', '{', 'null', '[]', '"text"', '{"manifests":{}}', '{"schemaVersion":2}']) {
    assert.equal(parseLayoutIndex(text), undefined, text);
  }
  const good = { digest, size: 3, mediaType: 'application/x' };
  const bad = [
    null,
    7,
    {},
    { digest: 'sha256:x', size: 3 },
    { digest, size: -1 },
    { digest, size: 1.5 },
  ];
  assert.deepEqual(parseLayoutIndex(index(...bad, good)), [{ target: good, name: undefined }]);
});
