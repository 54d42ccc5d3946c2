/** Trees and settings as administrators have them, and worse, for fast-check. */
import fc from 'fast-check';
import type { ConfigurationSettings } from '../../lib/hosts/configuration-settings.ts';
import { hostsToml, numbered } from './arbitrary-toml.ts';
import { directory, type Entry, file, IS_ROOT, link, type Tree } from './tree.ts';

/** Names of directories in certs.d: registries in every spelling, and what is no registry's. */
const DIRECTORIES = [
  '_default',
  'docker.io',
  'quay.io',
  'localhost:5000',
  'localhost_5000_',
  'reg.example:443',
  'reg.example_443_',
  '[::1]:5000',
  '[::1]_5000_',
  '10.0.0.1:5000',
  'Upper.Example',
  'no registry!',
  '.hidden',
];

export const TARGETS = ['http://127.0.0.1:5000', 'http://127.0.0.1:5001', 'https://mirror.example'];

const REGISTRIES = [
  'docker.io',
  'quay.io',
  'localhost:5000',
  'reg.example:443',
  '[::1]:5000',
  'upper.example',
  'new.example',
];

const mode = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0o644) },
  { weight: 3, arbitrary: fc.constantFrom(0o600, 0o640, 0o444, 0o664, 0o755) },
);
const owner = fc.oneof(
  { weight: 4, arbitrary: fc.constant(undefined) },
  { weight: IS_ROOT ? 1 : 0, arbitrary: fc.constantFrom(1234, 65_534) },
);

const plainFile = (data: fc.Arbitrary<string | Buffer>): fc.Arbitrary<Entry> =>
  fc.tuple(data, mode, owner).map(([bytes, bits, uid]) => file(bytes, bits, uid, uid));

/** What may be called hosts.toml. */
const hostsEntry: fc.Arbitrary<Entry | undefined> = fc.oneof(
  { weight: 12, arbitrary: plainFile(hostsToml) },
  { weight: 3, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: plainFile(fc.constant('')) },
  { weight: 1, arbitrary: plainFile(fc.constant(Buffer.from([0x23, 0xff, 0xfe, 0x0a]))) },
  { weight: 1, arbitrary: fc.constant(directory()) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('../quay.io/hosts.toml', '../../outside/hosts.toml', 'nowhere')
      .map(link),
  },
);

const BESIDE: Readonly<Record<string, Entry>> = {
  'ca.crt': file('a certificate'),
  'client.cert': file('a client %', 0o640),
  'client.key': file('a key %', 0o600),
  'alone.cert': file('a client with its key in itself'),
  'ödd "name".crt': file('another certificate'),
  'linked.crt': link('ca.crt'),
  'shared.crt': link('../../outside/ca.crt'),
  'README.md': file('read me %'),
  '.keep': file(''),
  'hosts.toml.bak': file('[host."https://old.example"]\n'),
  'hosts.toml.before-spegel': file('# mine %\n', 0o640),
  'nested/hosts.toml': file('[host."https://nested.example"]\n'),
  empty: directory(0o700),
};

const beside = fc.oneof(
  { weight: 2, arbitrary: fc.constant<string[]>([]) },
  { weight: 2, arbitrary: fc.subarray(Object.keys(BESIDE), { maxLength: 4 }) },
);

interface Registry {
  readonly hosts: Entry | undefined;
  readonly beside: readonly string[];
  readonly directory: Entry;
}

const registry: fc.Arbitrary<Registry> = fc.record({
  hosts: hostsEntry,
  beside,
  directory: fc.tuple(fc.constantFrom(0o755, 0o755, 0o700, 0o750), owner).map(([bits, uid]) => {
    return directory(bits, uid, uid);
  }),
});

const EXTRAS: Readonly<Record<string, Entry>> = {
  'a file': file('of nobody %'),
  'linked.example': link('docker.io'),
  'absolute.example': link('./quay.io'),
  'outside.example': link('../outside'),
  'dangling.example': link('gone'),
  'file.example': file('not a directory'),
};

/** What is outside of certs.d and must never change. */
export const OUTSIDE: Tree = {
  'outside/hosts.toml': file('[host."https://outside.example"]\n', 0o640),
  'outside/ca.crt': file('a shared certificate'),
};

/** A certs.d. Every `%` in it has become a token that nothing else in the tree holds. */
export const certsD: fc.Arbitrary<Tree> = fc
  .record({
    registries: fc.uniqueArray(fc.tuple(fc.constantFrom(...DIRECTORIES), registry), {
      selector: ([name]) => name,
      maxLength: 4,
    }),
    extras: fc.oneof(
      { weight: 2, arbitrary: fc.constant<string[]>([]) },
      { weight: 1, arbitrary: fc.subarray(Object.keys(EXTRAS)) },
    ),
  })
  .map(({ registries, extras }) => {
    const tree: Tree = {};
    for (const [name, { hosts, beside: names, directory: own }] of registries) {
      tree[name] = own;
      if (hosts !== undefined) tree[`${name}/hosts.toml`] = hosts;
      for (const other of names) tree[`${name}/${other}`] = BESIDE[other] as Entry;
    }
    for (const name of extras) tree[name] = EXTRAS[name] as Entry;
    // A link to a directory that only we make dangles in the first run and not in the second.
    if (extras.includes('linked.example')) tree['docker.io'] ??= directory();
    if (extras.includes('absolute.example')) tree['quay.io'] ??= directory();
    return withTokens(tree);
  });

function withTokens(tree: Tree): Tree {
  const count = { value: 0 };
  return Object.fromEntries(
    Object.entries(tree).map(([name, entry]) => {
      if (entry.kind !== 'file' || typeof entry.data !== 'string') return [name, entry];
      return [name, { ...entry, data: numbered(entry.data, count) }];
    }),
  );
}

const named = fc
  .subarray(REGISTRIES, { maxLength: 3 })
  .chain((hosts) =>
    fc.tuple(
      ...hosts.map((host) =>
        fc
          .constantFrom(undefined, `https://${host}`, `http://${host}`)
          .map((url) => ({ host, url })),
      ),
    ),
  );

/** Settings that the command line would let through. */
export const settings: fc.Arbitrary<ConfigurationSettings> = fc
  .record({
    targets: fc.shuffledSubarray(TARGETS, { minLength: 1, maxLength: 2 }),
    resolveTags: fc.boolean(),
    dialTimeoutMs: fc.constantFrom(1000, 200, 30_000),
    authorization: fc.constantFrom(undefined, undefined, 'Basic c3BlZ2VsOnNlY3JldA=='),
    isForAll: fc.constantFrom(true, true, false),
    registries: named,
    excluded: fc.subarray(REGISTRIES, { maxLength: 2 }),
    prependExisting: fc.constantFrom(true, true, false),
    isContainerd2: fc.constantFrom(true, undefined),
  })
  .map((given) => {
    // Only a file of registries, or all of them: as cmd/options/registry-urls.ts makes it.
    const isForAll = given.isForAll || given.registries.length === 0;
    const hosts = given.registries.map(({ host }) => host);
    const excluded = isForAll ? given.excluded.filter((host) => !hosts.includes(host)) : [];
    return { ...given, isForAll, excluded };
  });
