/** Histories of a certs.d, each with the command that is disturbed in it. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { ConfigurationSettings } from '../../lib/hosts/configuration-settings.ts';
import { cleanUpMirrors, configureMirrors, type HostsOutcome } from '../../lib/hosts/mirrors.ts';
import type { Disk } from '../../lib/hosts/transaction/disk.ts';
import { directory, file, IS_ROOT, QUICK_DISK, type Tree } from './tree.ts';

const signal = new AbortController().signal;
const OWNER = IS_ROOT ? 1234 : undefined;

const TREE: Tree = {
  '_default/hosts.toml': file(
    'server = "https://default.example"\n\n# mine\n[host."https://default.example"]\n',
    0o640,
    OWNER,
    OWNER,
  ),
  'quay.io': directory(0o750),
  'quay.io/hosts.toml': file('# no line end\nserver = "https://quay.example"'),
  'private.example/ca.crt': file('a certificate'),
  'private.example/client.cert': file('a client'),
  'private.example/client.key': file('a key', 0o600),
  'localhost_5000_/hosts.toml': file('', 0o600),
  'broken.example/hosts.toml': file('= no TOML\n'),
  empty: directory(0o700),
};

/** Everything, with credentials: modes change. */
const ALL: ConfigurationSettings = {
  targets: ['http://127.0.0.1:5000'],
  resolveTags: true,
  dialTimeoutMs: 1000,
  authorization: 'Basic c3BlZ2VsOnNlY3JldA==',
  isForAll: true,
  registries: [{ host: 'docker.io', url: 'https://docker.io' }],
  excluded: ['ghcr.io'],
  prependExisting: true,
  isContainerd2: true,
};
/** Two registries, other mirrors. */
export const SOME: ConfigurationSettings = {
  ...ALL,
  targets: ['http://127.0.0.1:5001', 'https://mirror.example'],
  authorization: undefined,
  isForAll: false,
  registries: [
    { host: 'quay.io', url: undefined },
    { host: 'new.example:5000', url: 'http://new.example:5000' },
  ],
  excluded: [],
};
const ASIDE: ConfigurationSettings = { ...ALL, prependExisting: false };

export type Command = (root: string, disk?: Disk) => Promise<HostsOutcome>;

export const configure = (settings: ConfigurationSettings): Command => {
  return async (root, disk = QUICK_DISK) => configureMirrors([root], settings, { signal, disk });
};
export const cleanUp: Command = async (root, disk = QUICK_DISK) =>
  cleanUpMirrors([root], { signal, disk });

/** What happened before: a command of ours or an administrator's edit. */
type Past = (root: string) => Promise<unknown>;

export interface Scenario {
  readonly name: string;
  /** Where certs.d is, or is to be. */
  readonly path: string;
  readonly tree: Tree;
  /** What was before, the administrator's edits included. */
  readonly history: readonly Past[];
  readonly command: Command;
  /** What is said of a file is said once: then nothing in it is ours any more. */
  readonly isNamedOnce: boolean;
  /** The administrator's tree at that time. */
  readonly own: Tree;
}

/** He writes behind our block, changes a mode and removes a file. */
const edits: Past = async (root) => {
  fs.appendFileSync(join(root, '_default/hosts.toml'), '# appended\n');
  fs.chmodSync(join(root, 'localhost_5000_/hosts.toml'), 0o640);
  fs.rmSync(join(root, 'private.example/hosts.toml'));
};
const EDITED: Tree = {
  ...TREE,
  '_default/hosts.toml': file(
    'server = "https://default.example"\n\n# mine\n[host."https://default.example"]\n# appended\n',
    0o640,
    OWNER,
    OWNER,
  ),
  'localhost_5000_/hosts.toml': file('', 0o640),
};

/** He writes files of his own where we set one aside. */
const takePlaces: Past = async (root) => {
  fs.writeFileSync(join(root, 'quay.io/hosts.toml'), '# in its place\n');
};
const DISPLACED: Tree = {
  ...TREE,
  'quay.io/hosts.toml': file('# in its place\n', 0o600),
  'quay.io/hosts.toml.before-spegel': file('# no line end\nserver = "https://quay.example"'),
};

function scenario(
  name: string,
  history: readonly Past[],
  command: Command,
  { path = 'certs.d', tree = TREE, own = tree, isNamedOnce = false }: Partial<Scenario> = {},
): Scenario {
  const below = (entries: Tree) => {
    return Object.fromEntries(
      Object.entries(entries).map(([entry, value]) => [join(path, entry), value]),
    );
  };
  return { name, history, command, path, isNamedOnce, tree: below(tree), own: below(own) };
}

const [all, some, aside] = [ALL, SOME, ASIDE].map(configure) as [Command, Command, Command];
const NOWHERE = { path: 'etc/containerd/certs.d', tree: {} };
const UNMADE = { path: 'certs.d', tree: {} };
const AFTER_EDITS = { own: EDITED };

export const SCENARIOS: readonly Scenario[] = [
  scenario('first configuration', [], all),
  scenario('first configuration, existing files set aside', [], aside),
  scenario('the same again', [all], all),
  scenario('other settings', [all], some),
  scenario('from joined to set aside', [all], aside),
  scenario('from set aside to joined', [aside], all),
  scenario('from set aside to no longer listed', [aside], some),
  scenario('cleanup', [all], cleanUp),
  scenario('cleanup of what was set aside', [aside], cleanUp),
  scenario('cleanup after two configurations', [all, some], cleanUp),
  scenario('configuration after edits', [all, edits], some, AFTER_EDITS),
  scenario('cleanup after edits', [all, edits], cleanUp, AFTER_EDITS),
  scenario('cleanup after its place was taken', [aside, takePlaces], cleanUp, {
    own: DISPLACED,
    isNamedOnce: true,
  }),
  scenario('no certs.d', [], all, UNMADE),
  scenario('no certs.d and no directory above it', [], all, NOWHERE),
  scenario('cleanup of a certs.d that we made', [all], cleanUp, UNMADE),
  scenario('cleanup of a certs.d that we made with those above', [all], cleanUp, NOWHERE),
];
