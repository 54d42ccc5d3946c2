import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NamePattern, passes } from '../../lib/oci/filters.ts';
import { Re2Pattern } from '../../lib/oci/re2-pattern.ts';

const all = { mirroredRegistries: [], registryFilters: [] };
const alpine = { registry: 'docker.io', repository: 'library/alpine' };
const filtered = (...registryFilters: NamePattern[]) => ({ ...all, registryFilters });

test('without settings everything passes', () => {
  assert.ok(passes(all, alpine));
  assert.ok(passes(all, { ...alpine, tag: 'latest' }));
});

test('only the mirrored registries pass, compared whole', () => {
  const settings = { ...all, mirroredRegistries: ['docker.io', '10.0.0.1:5000'] };
  assert.ok(passes(settings, alpine));
  assert.ok(passes(settings, { ...alpine, registry: 'Docker.IO' }), 'host names have no case');
  assert.ok(passes(settings, { ...alpine, registry: '10.0.0.1:5000' }));
  for (const registry of ['10.0.0.1', 'docker.io:443', 'ghcr.io', 'xdocker.io', 'docker.io.evil']) {
    assert.ok(!passes(settings, { ...alpine, registry }), registry);
  }
});

test('a filter on a tag leaves the content under its digests', () => {
  const settings = filtered(/:latest$/);
  assert.ok(!passes(settings, { ...alpine, tag: 'latest' }));
  assert.ok(passes(settings, { ...alpine, tag: 'latest-1' }));
  assert.ok(passes(settings, alpine));
});

test('a filter on a repository leaves out its tags too', () => {
  const settings = filtered(/^docker\.io\/private\//);
  assert.ok(!passes(settings, { registry: 'docker.io', repository: 'private/a' }));
  assert.ok(!passes(settings, { registry: 'docker.io', repository: 'private/a', tag: '1' }));
  assert.ok(passes(settings, { registry: 'docker.io', repository: 'not/private/a' }));
});

test('a filter that is anchored at the repository end does not reach its tags', () => {
  // The text of a tag continues behind the repository, as documented and in Go Spegel.
  const settings = filtered(/private\/a$/);
  assert.ok(!passes(settings, { registry: 'docker.io', repository: 'private/a' }));
  assert.ok(passes(settings, { registry: 'docker.io', repository: 'private/a', tag: '1' }));
});

test('any one of several filters is enough, and the registry is asked first', () => {
  const settings = { mirroredRegistries: ['docker.io'], registryFilters: [/nothing/, /alpine/] };
  assert.ok(!passes(settings, alpine));
  assert.ok(passes(settings, { ...alpine, repository: 'library/debian' }));
  assert.ok(!passes(settings, { registry: 'ghcr.io', repository: 'library/debian' }));
});

test('an expression with a state answers the same every time', () => {
  for (const source of ['alpine', 'docker', '(a)l']) {
    const filter = new Re2Pattern(source);
    const answers = Array.from({ length: 6 }, () => passes(filtered(filter), alpine));
    assert.deepEqual(answers, [false, false, false, false, false, false], source);
  }
});
