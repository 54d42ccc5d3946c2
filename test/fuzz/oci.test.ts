/** Manifests, references, digests, requests, and the headers that come with them. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { silentLogger as log } from '../../lib/base/log.ts';
import { HostCheck } from '../../lib/http/host-check.ts';
import {
  formatContentRange,
  formatRange,
  parseContentRange,
  parseRanges,
  resolveRanges,
} from '../../lib/http/ranges.ts';
import { networkKey } from '../../lib/network-key/network-key.ts';
import { signRequest, verifyRequest } from '../../lib/network-key/signature.ts';
import { isDigest } from '../../lib/oci/digest.ts';
import { distributionPath, parseDistributionUrl } from '../../lib/oci/distribution.ts';
import { parseManifest } from '../../lib/oci/manifest.ts';
import { contentTypeOf, OCI_INDEX, OCI_MANIFEST } from '../../lib/oci/media-types.ts';
import { Re2Pattern } from '../../lib/oci/re2-pattern.ts';
import { parseReference } from '../../lib/oci/reference.ts';
import { parseLayoutIndex } from '../../lib/store/layout-index.ts';
import { fuzz, fuzzer } from './fuzzer.ts';
import { CONTROL, json, mutatedBytes, mutatedText } from './mutations.ts';

const DIGEST = `sha256:${'0f'.repeat(32)}`;
const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`);
const descriptor = fc.record(
  {
    digest,
    size: fc.maxSafeNat(),
    mediaType: fc.oneof(fc.constantFrom(OCI_MANIFEST, 'a/b', 'a/b\r\nX: y'), fc.string()),
    annotations: fc.constantFrom(
      { 'io.containerd.image.name': 'docker.io/library/a:1' },
      { 'org.opencontainers.image.ref.name': 'latest' },
      null,
    ),
  },
  { requiredKeys: ['digest', 'size'] },
);
const document = fc.record(
  {
    schemaVersion: fc.constantFrom(2, 1, '2'),
    mediaType: fc.constantFrom(OCI_INDEX, OCI_MANIFEST, '', null),
    config: descriptor,
    layers: fc.array(descriptor, { maxLength: 4 }),
    manifests: fc.array(descriptor, { maxLength: 4 }),
  },
  { requiredKeys: ['schemaVersion'] },
);
const manifest = fc.oneof(
  {
    weight: 4,
    arbitrary: mutatedBytes(
      document.map((value) => Buffer.from(JSON.stringify(value))),
      ['"', '{', '[', '[[[[[[[[', 'null', '"digest":', '-1', '1e400', '\\ud800', '"__proto__":'],
    ),
  },
  { weight: 1, arbitrary: json.map((text) => Buffer.from(text)) },
);
const url = mutatedText(
  fc.constantFrom(
    `/v2/library/nginx/blobs/${DIGEST}?ns=docker.io`,
    '/v2/library/nginx/manifests/1.25?ns=docker.io',
    `/v2/a/b-c/d__e/manifests/${DIGEST}?ns=localhost:5000`,
    '/v2/a/blobs/sha512:00?ns=%5Bfd00::1%5D:5000',
    '/v2/',
  ),
  ['/', '//', '..', '%2f', '%00', '?', '&ns=', 'manifests/', 'blobs/', 'a-', '_a', '@', '\u0085'],
);
const reference = mutatedText(
  fc.constantFrom(
    'docker.io/library/nginx:1.25',
    `ghcr.io/a/b@${DIGEST}`,
    `localhost:5000/a-b/c__d:v1@${DIGEST}`,
    '[fd00::1]:5000/a:b',
  ),
  ['/', ':', '@', '-', '__', '.', 'A', '%'],
);
const range = mutatedText(
  fc.constantFrom(
    'bytes=0-',
    'bytes=0-99',
    'bytes=-5',
    'bytes=0-1,5-9, 20-',
    'bytes=99999999999999999999-',
  ),
  ['-', ',', '=', '0', '1-2,', ' '],
);
const key = networkKey(Buffer.alloc(32, 1));

fuzz(import.meta.filename, [
  fuzzer('manifests: none, or one whose children are descriptors', manifest, (bytes) => {
    const found = parseManifest(bytes);
    for (const { digest: child, size, mediaType } of found?.children ?? []) {
      assert.ok(isDigest(child) && Number.isSafeInteger(size) && size >= 0);
      assert.doesNotMatch(contentTypeOf(mediaType), /[^\x21-\x7e]/);
    }
    for (const { target, name } of parseLayoutIndex(bytes.toString()) ?? []) {
      assert.ok(isDigest(target.digest));
      if (name !== undefined) assert.doesNotMatch(JSON.stringify(name), CONTROL);
    }
  }),

  fuzzer('requests: one that asks a peer for the same, or a problem in words', url, (text) => {
    const parsed = parseDistributionUrl(text);
    if ('code' in parsed) {
      assert.doesNotMatch(parsed.message, CONTROL);
      assert.ok(parsed.message.length <= 200);
    } else if (parsed.kind !== 'base') {
      const path = distributionPath(parsed);
      assert.doesNotMatch(path, /[^\x21-\x7e]/);
      assert.deepEqual(parseDistributionUrl(path), parsed);
    }
  }),

  fuzzer('references: none, or one that is written and comes again', reference, (text) => {
    const found = parseReference(text);
    if (found === undefined) return;
    const { registry, repository, tag, digest: own } = found;
    const tail = `${tag === undefined ? '' : `:${tag}`}${own === undefined ? '' : `@${own}`}`;
    assert.equal(`${registry}/${repository}${tail}`, text);
    assert.doesNotMatch(text, CONTROL);
  }),

  fuzzer('ranges: no byte twice, none outside', fc.tuple(range, fc.nat(200)), ([header, size]) => {
    const specs = parseRanges(header);
    assert.ok(specs.length <= 64);
    for (const spec of specs) assert.deepEqual(parseRanges(formatRange(spec)), [spec]);
    const resolved = resolveRanges(specs, size);
    const sorted = resolved.toSorted((a, b) => a.start - b.start);
    for (const [index, { start, end }] of sorted.entries()) {
      assert.ok(start < end && end <= size && start >= (sorted[index - 1]?.end ?? 0));
      const written = formatContentRange({ start, end }, size);
      assert.deepEqual(parseContentRange(written), { range: { start, end }, size });
    }
  }),

  fuzzer(
    'Host: names of the public DNS are refused, and what is told of one can be printed',
    mutatedText(fc.constantFrom('127.0.0.1:5000', '[::1]:5000', 'a.local', 'evil.example:80'), [
      ':',
      '.',
      '[',
      ']',
    ]),
    (host) => {
      const check = new HostCheck({ log, names: { has: () => false } });
      const refusal = check.refusal(host, '127.0.0.1');
      if (/^[a-z]+\.example(?::\d+)?$/.test(host)) assert.ok(refusal !== undefined);
      if (refusal === undefined) return;
      assert.doesNotMatch(refusal, CONTROL);
      assert.ok(refusal.length < 1_000);
    },
  ),

  fuzzer(
    'signatures: the one that was made is good, every other is refused',
    mutatedText(fc.constant(signRequest(key, { method: 'GET', path: '/a' }, 1_000_000)), [
      'v1 ',
      ' ',
      '0',
    ]),
    (signature) => {
      const request = { method: 'GET', path: '/a' };
      const made = signRequest(key, request, 1_000_000);
      const { isValid } = verifyRequest([key], request, signature, 1_000_000);
      assert.equal(isValid, signature === made);
      const other = verifyRequest([key], { ...request, path: '/b' }, signature, 1_000_000);
      assert.equal(other.isValid, false);
    },
  ),

  fuzzer(
    'registry filters: a pattern that is taken is tested in time that the text allows',
    fc.tuple(
      mutatedText(fc.constantFrom('^docker\\.io/', '(a+)+$', ':latest$', '[a-z]{1,9}'), [
        '(',
        ')',
        '*',
        '{9}',
        '|',
      ]),
      reference,
    ),
    ([source, name]) => {
      if (source.length > 200) return;
      let pattern: Re2Pattern;
      try {
        pattern = new Re2Pattern(source);
      } catch (error) {
        assert.ok(error instanceof Error);
        return;
      }
      pattern.test(name.slice(0, 1_024));
    },
  ),
]);
