import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LabelFilter, sourcesOf } from '../../lib/containerd/labels.ts';

test('labels are read, without other labels and invalid repositories', () => {
  const sources = sourcesOf({
    'containerd.io/distribution.source.docker.io': 'library/debian,team/app',
    'containerd.io/distribution.source.::1': 'app',
    'containerd.io/distribution.source.': 'app',
    'containerd.io/distribution.source.evil': '../../etc,,A',
    'containerd.io/uncompressed': 'sha256:0',
  });
  assert.deepEqual(sources, [
    { host: 'docker.io', repository: 'library/debian' },
    { host: 'docker.io', repository: 'team/app' },
    { host: '::1', repository: 'app' },
  ]);
});

test('registries with a port take label hosts without one', () => {
  const mirroredRegistries = ['10.0.0.1:5000', '[::1]:5000', 'docker.io'];
  const filter = new LabelFilter({ mirroredRegistries, registryFilters: [] });
  for (const host of ['10.0.0.1', '::1', 'docker.io']) {
    assert.ok(filter.passes({ host, repository: 'app' }), host);
  }
  for (const host of ['10.0.0.2', 'quay.io', '10.0.0.1:5000']) {
    assert.ok(!filter.passes({ host, repository: 'app' }), host);
  }
});

test('a filter with a port rejects content that may be from that registry', () => {
  const registryFilters = [/^10\.0\.0\.1:5000\/private\//, /^\[::1\]:6000\//, /^ghcr\.io\/x$/];
  const filter = new LabelFilter({ mirroredRegistries: [], registryFilters });
  assert.ok(!filter.passes({ host: '10.0.0.1', repository: 'private/app' }));
  assert.ok(filter.passes({ host: '10.0.0.1', repository: 'public/app' }));
  assert.ok(!filter.passes({ host: '::1', repository: 'app' }));
  assert.ok(!filter.passes({ host: 'ghcr.io', repository: 'x' }));
  assert.ok(filter.passes({ host: 'ghcr.io', repository: 'y' }));
});
