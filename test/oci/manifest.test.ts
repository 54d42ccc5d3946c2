import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDigest } from '../../lib/oci/digest.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../../lib/oci/manifest.ts';
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  isIndexType,
  isManifestType,
  OCI_INDEX,
  OCI_MANIFEST,
  OCTET_STREAM,
} from '../../lib/oci/media-types.ts';
import { Random } from './random.ts';

const A = `sha256:${'a'.repeat(64)}`;
const B = `sha256:${'b'.repeat(64)}`;
const C = `sha256:${'c'.repeat(64)}`;
const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
const config = { mediaType: OCI_CONFIG, digest: A, size: 1 };
const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: B, size: 2 };
const parse = (document: unknown) => parseManifest(Buffer.from(JSON.stringify(document)));
const digests = (document: unknown) => parse(document)?.children.map((child) => child.digest);

test('media types', () => {
  for (const type of [OCI_INDEX, DOCKER_LIST]) assert.ok(isIndexType(type) && isManifestType(type));
  for (const type of [OCI_MANIFEST, DOCKER_MANIFEST]) {
    assert.ok(!isIndexType(type) && isManifestType(type));
  }
  for (const type of [undefined, '', OCTET_STREAM, OCI_CONFIG, `${OCI_INDEX}; charset=utf-8`]) {
    assert.ok(!isIndexType(type) && !isManifestType(type));
  }
});

test('an image manifest points to its config and layers, in order', () => {
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config,
    layers: [layer, { ...layer, digest: C }],
  };
  assert.deepEqual(parse(manifest), {
    mediaType: OCI_MANIFEST,
    children: [
      { digest: A, size: 1, mediaType: OCI_CONFIG },
      { digest: B, size: 2, mediaType: layer.mediaType },
      { digest: C, size: 2, mediaType: layer.mediaType },
    ],
  });
});

test('an index points to its manifests, attestations among them', () => {
  const manifests = [
    {
      mediaType: OCI_MANIFEST,
      digest: A,
      size: 3,
      platform: { os: 'linux', architecture: 'amd64' },
    },
    {
      mediaType: OCI_MANIFEST,
      digest: B,
      size: 4,
      platform: { os: 'unknown', architecture: 'unknown' },
    },
  ];
  assert.deepEqual(digests({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }), [A, B]);
  assert.deepEqual(digests({ schemaVersion: 2, mediaType: DOCKER_LIST, manifests }), [A, B]);
  assert.deepEqual(digests({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }), []);
});

test('the media type follows from the fields if the document has none', () => {
  const docker = { ...config, mediaType: 'application/vnd.docker.container.image.v1+json' };
  const cases: [object, string | undefined][] = [
    [{ manifests: [] }, OCI_INDEX],
    [{ config, layers: [] }, OCI_MANIFEST],
    [{ config: docker, layers: [] }, DOCKER_MANIFEST],
    [{ mediaType: '', config, layers: [] }, OCI_MANIFEST],
    [{ mediaType: null, config, layers: [] }, OCI_MANIFEST],
    [{ config: { ...config, mediaType: 'application/x.own' }, layers: [] }, OCI_MANIFEST],
    [{ layers: [layer] }, undefined],
    [{}, undefined],
  ];
  for (const [document, expected] of cases) {
    assert.equal(
      parse({ schemaVersion: 2, ...document })?.mediaType,
      expected,
      JSON.stringify(document),
    );
  }
});

test('an artifact with media types of its own is a manifest', () => {
  const artifact = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: 'application/x.volume',
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: A, size: 2, data: 'e30=' },
    layers: [{ mediaType: 'application/x.data', digest: B, size: 9 }],
    subject: { mediaType: OCI_MANIFEST, digest: C, size: 5 },
  };
  assert.deepEqual(digests(artifact), [A, B]);
});

test('a document with the fields of both kinds is neither', () => {
  const both = { schemaVersion: 2, config, layers: [layer], manifests: [layer] };
  for (const mediaType of [undefined, OCI_MANIFEST, OCI_INDEX, DOCKER_LIST, DOCKER_MANIFEST]) {
    assert.equal(parse({ ...both, mediaType }), undefined, String(mediaType));
  }
  assert.ok(parse({ ...both, manifests: [], mediaType: OCI_MANIFEST }));
  assert.ok(
    parse({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], layers: [], config: null }),
  );
});

test('invalid descriptors are left out', () => {
  const wrong = [
    null,
    1,
    'x',
    [],
    {},
    { digest: 'sha256:ab', size: 1 },
    { digest: B },
    { digest: B, size: -1 },
    { digest: B, size: 1.5 },
    { digest: B, size: '1' },
    { digest: B, size: 2 ** 53 },
    { digest: `sha512:${'a'.repeat(128)}`, size: 1 },
    { digest: `sha256:${'../'.repeat(21)}a`, size: 1 },
  ];
  assert.deepEqual(digests({ schemaVersion: 2, config, layers: [...wrong, layer] }), [A, B]);
  assert.deepEqual(digests({ schemaVersion: 2, config, layers: { 0: layer } }), [A]);
  assert.deepEqual(
    digests({ schemaVersion: 2, config: {}, layers: [{ ...layer, mediaType: 7 }] }),
    [B],
  );
});

const notManifests: Record<string, string> = {
  empty: '',
  'half a document': '{"schemaVersion":2,"manifests":[',
  'not JSON': '\x1f\x8b\x08',
  null: 'null',
  list: '[]',
  number: '2',
  'schema version 1': JSON.stringify({ schemaVersion: 1, config, layers: [] }),
  'no schema version': JSON.stringify({ config, layers: [] }),
  'schema version as text': JSON.stringify({ schemaVersion: '2', config, layers: [] }),
  'media type of something else': JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_CONFIG,
    config,
  }),
  'media type that is no text': JSON.stringify({ schemaVersion: 2, mediaType: 1, config }),
  'image config': JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: {}, config: {} }),
  'deep nesting': `${'['.repeat(1_000_000)}`,
};
for (const [name, text] of Object.entries(notManifests)) {
  test(`no manifest: ${name}`, () => assert.equal(parseManifest(Buffer.from(text)), undefined));
}

test('the size bound', () => {
  const text = JSON.stringify({ schemaVersion: 2, config, layers: [] });
  const padded = (bytes: number) => Buffer.from(text.padEnd(bytes));
  assert.ok(parseManifest(padded(MAX_MANIFEST_BYTES)));
  assert.equal(parseManifest(padded(MAX_MANIFEST_BYTES + 1)), undefined);
});

test('a key named __proto__ changes nothing', () => {
  const text =
    '{"schemaVersion":2,"__proto__":{"manifests":[]},"config":{"__proto__":{"digest":"x"}}}';
  assert.deepEqual(parseManifest(Buffer.from(text))?.children, []);
  assert.equal(({} as Record<string, unknown>).manifests, undefined);
});

const SCALARS = [{}, null, true, 0, -1, 2, 1.5, '', 'x', OCI_INDEX, OCI_MANIFEST, A, B] as const;
const KEYS = 'schemaVersion mediaType manifests layers config digest size __proto__'.split(' ');

function randomValue(random: Random, depth: number): unknown {
  if (depth === 0 || random.next() < 0.3) return SCALARS[random.int(0, SCALARS.length - 1)];
  if (random.next() < 0.4) return random.list(0, 4, () => randomValue(random, depth - 1));
  return Object.fromEntries(
    random.list(0, 6, () => [random.pick(KEYS), randomValue(random, depth - 1)]),
  );
}

test('fuzz: any document gives nothing or clean children, and never throws', () => {
  const random = new Random(7);
  let parsed = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const value = randomValue(random, 4);
    const document =
      typeof value === 'object' && value !== null ? { ...value, schemaVersion: 2 } : value;
    const manifest = parse(document);
    if (manifest === undefined) continue;
    parsed += 1;
    assert.ok(isManifestType(manifest.mediaType));
    for (const child of manifest.children) {
      assert.ok(isDigest(child.digest) && Number.isSafeInteger(child.size) && child.size >= 0);
      assert.ok(child.mediaType === undefined || typeof child.mediaType === 'string');
    }
  }
  assert.ok(parsed > 500, `only ${parsed} documents were manifests`);
});

test('fuzz: broken bytes never throw', () => {
  const random = new Random(8);
  const whole = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [layer] }));
  for (let round = 0; round < 5_000; round += 1) {
    const bytes = Buffer.from(whole);
    for (let flips = random.int(1, 4); flips > 0; flips -= 1) {
      bytes[random.int(0, bytes.length - 1)] = random.int(0, 255);
    }
    parseManifest(bytes.subarray(0, random.int(0, bytes.length)));
  }
});
