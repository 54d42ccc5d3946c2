import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseChallenge } from '../../lib/upstream/anonymous-token.ts';

test('a bearer challenge is read as registries write it', () => {
  const hub =
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push"';
  assert.deepEqual(parseChallenge(hub), {
    realm: new URL('https://auth.docker.io/token'),
    service: 'registry.docker.io',
    scope: 'repository:library/nginx:pull,push',
  });
  const bare = 'bearer realm="https://ghcr.io/token" , service=ghcr.io';
  assert.equal(parseChallenge(bare)?.service, 'ghcr.io');
  assert.equal(parseChallenge(bare)?.scope, undefined);
});

test('a challenge of another kind, or without a realm, is undefined', () => {
  for (const header of [
    undefined,
    '',
    'Basic realm="https://example.com"',
    'Bearer service="x"',
    'Bearer realm="file:///etc/passwd"',
    'Bearer realm="not a url"',
    'Bearer',
  ]) {
    assert.equal(parseChallenge(header), undefined, header ?? 'none');
  }
});

test('a long header takes time that grows with its length', () => {
  const before = process.threadCpuUsage();
  parseChallenge(`Bearer ${'e'.repeat(65_536)}`);
  const { user } = process.threadCpuUsage(before);
  assert.ok(user < 400_000, `${user / 1_000} ms`);
});
