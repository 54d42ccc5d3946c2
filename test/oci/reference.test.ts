import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isRegistry,
  isRepository,
  isTag,
  parseReference,
  type Reference,
  tagKey,
} from '../../lib/oci/reference.ts';
import {
  mutated,
  Random,
  randomDigest,
  randomRegistry,
  randomRepository,
  randomTag,
} from './random.ts';

const DIGEST = `sha256:${'a1'.repeat(32)}`;

function parts(name: string): unknown[] | undefined {
  const reference = parseReference(name);
  return reference && [reference.registry, reference.repository, reference.tag, reference.digest];
}

test('names of image records', () => {
  const cases: [string, unknown[]][] = [
    ['docker.io/library/alpine:3', ['docker.io', 'library/alpine', '3', undefined]],
    ['docker.io/library/alpine', ['docker.io', 'library/alpine', undefined, undefined]],
    [`ghcr.io/a/b/c@${DIGEST}`, ['ghcr.io', 'a/b/c', undefined, DIGEST]],
    [`ghcr.io/a:v1@${DIGEST}`, ['ghcr.io', 'a', 'v1', DIGEST]],
    ['localhost:5000/x:latest', ['localhost:5000', 'x', 'latest', undefined]],
    ['10.0.0.1:5000/x/y:1.2_3-rc', ['10.0.0.1:5000', 'x/y', '1.2_3-rc', undefined]],
    ['[fd00::1]:5000/x:1', ['[fd00::1]:5000', 'x', '1', undefined]],
    ['[fd00::1]/x', ['[fd00::1]', 'x', undefined, undefined]],
    ['Example.COM/x', ['Example.COM', 'x', undefined, undefined]],
  ];
  for (const [name, expected] of cases) assert.deepEqual(parts(name), expected, name);
});

const noReferences = {
  empty: '',
  'the config digest that CRI writes': DIGEST,
  'no registry': 'alpine:3',
  'slash first': '/alpine',
  'slash last': 'docker.io/',
  'empty component': 'docker.io//alpine',
  'upper-case repository': 'docker.io/Alpine',
  'dots as component': 'docker.io/../etc',
  'component of dots within': 'docker.io/a/../b',
  'three underscores': 'docker.io/a___b',
  'hyphen at the end': 'docker.io/a-',
  'empty tag': 'docker.io/a:',
  'two tags': 'docker.io/a:1:2',
  'tag with slash': 'docker.io/a:1/b',
  'tag that begins with a dot': 'docker.io/a:.1',
  'tag of 129': `docker.io/a:${'x'.repeat(129)}`,
  'empty digest': 'docker.io/a@',
  'short digest': 'docker.io/a@sha256:abc',
  'sha512 digest': `docker.io/a@sha512:${'a'.repeat(128)}`,
  'tag behind the digest': `docker.io/a@${DIGEST}:1`,
  'two digests': `docker.io/a@${DIGEST}@${DIGEST}`,
  'repository of 256': `docker.io/${'a'.repeat(256)}`,
  'line end': 'docker.io/a:1\n',
  'a space': 'docker.io/a b',
  'NUL in the repository': 'docker.io/a\0b',
  'percent sign': 'docker.io/a%2fb',
  'port of six digits': 'docker.io:123456/a',
  'port without number': 'docker.io:/a',
  'user in the registry': 'user@docker.io/a',
  'registry that begins with a hyphen': '-docker.io/a',
};
for (const [name, text] of Object.entries(noReferences)) {
  test(`no reference: ${name}`, () => assert.equal(parseReference(text), undefined));
}

test('lengths that are just right', () => {
  assert.ok(isRepository('a'.repeat(255)));
  assert.ok(isTag('x'.repeat(128)));
  assert.ok(isRegistry('a'.repeat(254)));
  assert.ok(!isRegistry('a'.repeat(255)));
});

test('registries', () => {
  for (const text of [
    'a',
    'docker.io',
    'a-b.c:1',
    '1.2.3.4:65535',
    '[::1]',
    '[::ffff:1.2.3.4]:1',
  ]) {
    assert.ok(isRegistry(text), text);
  }
  const wrong = [
    '',
    ':5000',
    'a:0',
    'a:65536',
    'a:99999',
    'a:-1',
    'a.',
    '.a',
    'a/b',
    'a b',
    'a:1:2',
    'http://a',
    '[]',
    '[..]',
    '[::::]',
    '[1.2.3.4]',
    '[::1',
    '::1',
    '[::1]x',
    '[fe80::1%eth0]',
    'a_b',
    'é.io',
    'a\n',
    'a@b',
    'a?b',
    'a#b',
    '_default',
    '*',
  ];
  for (const text of wrong) assert.ok(!isRegistry(text), JSON.stringify(text));
});

test('a registry that passes is the host of the URL made of it, so it can be dialled as it is', () => {
  const random = new Random(2);
  for (let round = 0; round < 5_000; round += 1) {
    const registry = randomRegistry(random);
    assert.ok(isRegistry(registry), registry);
    const text = mutated(random, registry);
    if (!isRegistry(text) || !URL.canParse(`http://${text}/v2/`)) continue;
    const { pathname, username, search, hash } = new URL(`http://${text}/v2/`);
    assert.deepEqual([pathname, username, search, hash], ['/v2/', '', '', ''], text);
  }
});

test('tagKey is the name that Go Spegel announces', () => {
  assert.equal(tagKey('docker.io', 'library/alpine', '3'), 'docker.io/library/alpine:3');
});

function write({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag ? `:${tag}` : ''}${digest ? `@${digest}` : ''}`;
}

test('property: what is written is read back', () => {
  const random = new Random(3);
  for (let round = 0; round < 5_000; round += 1) {
    const name = [
      `${randomRegistry(random)}/${randomRepository(random)}`,
      random.next() < 0.5 ? `:${randomTag(random)}` : '',
      random.next() < 0.5 ? `@${randomDigest(random)}` : '',
    ].join('');
    const reference = parseReference(name);
    assert.ok(reference, name);
    assert.equal(write(reference), name);
  }
});

test('fuzz: what is accepted is written as it was read, whole', () => {
  const random = new Random(4);
  let accepted = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const text = mutated(
      random,
      `${randomRegistry(random)}/${randomRepository(random)}:${randomTag(random)}@${randomDigest(random)}`,
    );
    const reference = parseReference(text);
    if (reference === undefined) continue;
    accepted += 1;
    assert.equal(write(reference), text);
    assert.ok(!/[\s\0%?#\\]|\.\.\//.test(text), JSON.stringify(text));
  }
  assert.ok(accepted > 100, `only ${accepted} of the mutations were valid: the fuzz tests nothing`);
});

test('hostile lengths are answered at once', () => {
  const started = performance.now();
  const hostile = [
    'a-'.repeat(100_000),
    'a/'.repeat(100_000),
    '_'.repeat(200_000),
    'a'.repeat(1e6),
  ];
  for (const text of hostile) {
    assert.ok(!isRepository(text) && !isRegistry(text) && !isTag(text));
    assert.equal(parseReference(`docker.io/${text}`), undefined);
    // The longest text that passes the length check, with an end that cannot match.
    assert.ok(!isRepository(`${text.slice(0, 254)}!`));
    assert.ok(!isRegistry(`${text.slice(0, 254)}!`));
  }
  assert.ok(performance.now() - started < 500);
});
