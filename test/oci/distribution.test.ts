import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type DistributionRequest,
  distributionPath,
  ociErrorBody,
  parseDistributionUrl,
} from '../../lib/oci/distribution.ts';
import { isRegistry, isRepository, isTag } from '../../lib/oci/reference.ts';
import {
  mutated,
  Random,
  randomDigest,
  randomRegistry,
  randomRepository,
  randomTag,
} from './random.ts';

const DIGEST = `sha256:${'0f'.repeat(32)}`;
const codeOf = (url: string) => {
  const result = parseDistributionUrl(url);
  return 'code' in result ? result.code : undefined;
};

test('the base', () => {
  for (const url of ['/v2/', '/v2', '/v2/?ns=docker.io', '/v2?x']) {
    assert.deepEqual(parseDistributionUrl(url), { kind: 'base' }, url);
  }
});

test('manifests and blobs', () => {
  assert.deepEqual(parseDistributionUrl('/v2/library/alpine/manifests/3?ns=docker.io'), {
    kind: 'manifest',
    registry: 'docker.io',
    repository: 'library/alpine',
    target: { tag: '3' },
  });
  assert.deepEqual(parseDistributionUrl(`/v2/a/manifests/${DIGEST}?ns=localhost:5000`), {
    kind: 'manifest',
    registry: 'localhost:5000',
    repository: 'a',
    target: { digest: DIGEST },
  });
  assert.deepEqual(
    parseDistributionUrl(`/v2/a/b/c/d/blobs/${DIGEST}?x=1&ns=%5Bfd00%3A%3A1%5D%3A5000`),
    {
      kind: 'blob',
      registry: '[fd00::1]:5000',
      repository: 'a/b/c/d',
      target: { digest: DIGEST },
    },
  );
});

test('a repository may hold the words of the API', () => {
  const found = parseDistributionUrl(`/v2/a/manifests/b/blobs/blobs/${DIGEST}?ns=docker.io`);
  assert.equal('repository' in found && found.repository, 'a/manifests/b/blobs');
});

test('of two ns the first counts', () => {
  const found = parseDistributionUrl('/v2/a/manifests/1?ns=docker.io&ns=evil.example');
  assert.equal('registry' in found && found.registry, 'docker.io');
});

const problems: [string, string, string][] = [
  ['UNSUPPORTED', 'empty', ''],
  ['UNSUPPORTED', 'the root', '/'],
  ['UNSUPPORTED', 'version 1', '/v1/a/manifests/1?ns=docker.io'],
  ['UNSUPPORTED', 'no repository', '/v2/manifests/1?ns=docker.io'],
  ['UNSUPPORTED', 'no target', '/v2/a/manifests/?ns=docker.io'],
  ['UNSUPPORTED', 'slash behind', '/v2/a/manifests/1/?ns=docker.io'],
  ['UNSUPPORTED', 'uploads', '/v2/a/blobs/uploads/?ns=docker.io'],
  ['UNSUPPORTED', 'tag list', '/v2/a/tags/list?ns=docker.io'],
  ['UNSUPPORTED', 'catalog', '/v2/_catalog'],
  ['UNSUPPORTED', 'referrers', `/v2/a/referrers/${DIGEST}?ns=docker.io`],
  ['UNSUPPORTED', 'absolute form', 'http://host/v2/a/manifests/1?ns=docker.io'],
  ['UNSUPPORTED', 'case of the path', '/V2/a/manifests/1?ns=docker.io'],
  ['NAME_INVALID', 'dots', '/v2/../manifests/1?ns=docker.io'],
  ['NAME_INVALID', 'dots inside', '/v2/a/../../etc/blobs/x?ns=docker.io'],
  ['NAME_INVALID', 'encoded slash', '/v2/a%2Fb/manifests/1?ns=docker.io'],
  ['NAME_INVALID', 'empty component', '/v2/a//b/manifests/1?ns=docker.io'],
  ['NAME_INVALID', 'upper case', '/v2/A/manifests/1?ns=docker.io'],
  ['NAME_INVALID', 'no ns', '/v2/a/manifests/1'],
  ['NAME_INVALID', 'empty ns', '/v2/a/manifests/1?ns='],
  ['NAME_INVALID', 'ns with path', '/v2/a/manifests/1?ns=docker.io/evil'],
  ['NAME_INVALID', 'ns with user', '/v2/a/manifests/1?ns=u:p@docker.io'],
  ['NAME_INVALID', 'ns with line end', '/v2/a/manifests/1?ns=docker.io%0d%0aX:y'],
  ['NAME_INVALID', 'ns with an impossible port', '/v2/a/manifests/1?ns=docker.io:70000'],
  ['NAME_INVALID', 'NS in upper case', '/v2/a/manifests/1?NS=docker.io'],
  ['DIGEST_INVALID', 'short digest', '/v2/a/blobs/sha256:ab?ns=docker.io'],
  ['DIGEST_INVALID', 'blob by tag', '/v2/a/blobs/latest?ns=docker.io'],
  ['DIGEST_INVALID', 'sha512', `/v2/a/manifests/sha512:${'a'.repeat(128)}?ns=docker.io`],
  [
    'DIGEST_INVALID',
    'digest in upper case',
    `/v2/a/manifests/${DIGEST.toUpperCase()}?ns=docker.io`,
  ],
  ['MANIFEST_INVALID', 'tag with a percent sign', '/v2/a/manifests/a%20b?ns=docker.io'],
  ['MANIFEST_INVALID', 'dots as tag', '/v2/a/manifests/..?ns=docker.io'],
  ['MANIFEST_INVALID', 'tag of 129', `/v2/a/manifests/${'a'.repeat(129)}?ns=docker.io`],
];
for (const [code, name, url] of problems) {
  test(`${code}: ${name}`, () => assert.equal(codeOf(url), code));
}

test('a message is bounded, however long the path was', () => {
  for (const url of [`/${'x'.repeat(50_000)}`, `/v2/${'A'.repeat(50_000)}/manifests/1?ns=a`]) {
    const result = parseDistributionUrl(url);
    assert.ok('message' in result && result.message.length <= 200);
  }
});

function randomRequest(random: Random): Exclude<DistributionRequest, { kind: 'base' }> {
  const name = { registry: randomRegistry(random), repository: randomRepository(random) };
  const digest = { digest: randomDigest(random) as `sha256:${string}` };
  if (random.next() < 0.4) return { kind: 'blob', ...name, target: digest };
  const target = random.next() < 0.5 ? digest : { tag: randomTag(random) };
  return { kind: 'manifest', ...name, target };
}

test('property: parse(distributionPath(request)) is the request', () => {
  const random = new Random(5);
  for (let round = 0; round < 5_000; round += 1) {
    const request = randomRequest(random);
    assert.deepEqual(parseDistributionUrl(distributionPath(request)), request);
  }
});

test('fuzz: no URL throws, and what is accepted asks a peer for exactly that', () => {
  const random = new Random(6);
  let accepted = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const url = mutated(random, distributionPath(randomRequest(random)));
    const result = parseDistributionUrl(url);
    if ('code' in result || result.kind === 'base') continue;
    accepted += 1;
    assert.ok(isRegistry(result.registry) && isRepository(result.repository), url);
    if ('tag' in result.target) assert.ok(isTag(result.target.tag), url);
    const path = distributionPath(result);
    assert.deepEqual(parseDistributionUrl(path), result);
    // The path becomes part of a request line. Nothing in it may end the line or leave the path.
    assert.match(path, /^\/v2\/[a-z0-9._/-]+\/(manifests|blobs)\/[\w.:-]+\?ns=[\w.%-]+$/);
    assert.equal(new URL(path, 'http://peer').pathname, path.slice(0, path.indexOf('?')));
  }
  assert.ok(accepted > 100, `only ${accepted} accepted`);
});

test('what came is cut and escaped in the problem', () => {
  for (const url of [
    '/\u009b31m',
    `/v2/a/blobs/\u0085${'x'.repeat(2_000)}?ns=a`,
    '/v2/\u0085/blobs/a?ns=b',
    '/v2/a/manifests/a?ns=%C2%85',
  ]) {
    const result = parseDistributionUrl(url);
    assert.ok('message' in result);
    assert.doesNotMatch(result.message, /[\u0080-\u009f]/);
    assert.ok(result.message.length < 300);
  }
});

test('error bodies are those of the distribution-spec', () => {
  assert.deepEqual(JSON.parse(ociErrorBody('BLOB_UNKNOWN', 'no "peer"')), {
    errors: [{ code: 'BLOB_UNKNOWN', message: 'no "peer"' }],
  });
  assert.deepEqual(JSON.parse(ociErrorBody('DENIED', 'm', { tried: ['10.0.0.1'] })), {
    errors: [{ code: 'DENIED', message: 'm', detail: { tried: ['10.0.0.1'] } }],
  });
});
