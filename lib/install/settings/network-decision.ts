import { existsSync } from 'node:fs';
import { SpegelError } from '../../base/errors.ts';
import { newKeyLine, parseNetworkKeys, readNetworkKeyText } from '../../network-key/file.ts';
import type { NetworkKey } from '../../network-key/network-key.ts';
import type { Variables } from '../../proxy/go-proxy.ts';
import type { InstallFile } from '../system/files.ts';
import { type Finding, note, obstacle } from '../system/finding.ts';
import { ENVIRONMENT_FILE, NETWORK_KEY_FILE } from '../system/layout.ts';

/** The setting that keeps a network open on purpose. */
export const OPEN_NETWORK = 'OPEN_NETWORK';
/** What the finding about a missing decision is about. */
export const UNDECIDED = 'network-decision';

/** The flags of the command line about the network. */
export interface NetworkFlags {
  readonly isKeyNew: boolean;
  /** A file with a key, or `-` for standard input. */
  readonly keyFrom: string | undefined;
  readonly isOpen: boolean;
}

/** What was decided before this call. */
export interface NetworkState {
  /** Whether this host had a service, which has run or could run, before this call. */
  readonly isInstalled: boolean;
  /** The settings of the service. */
  readonly settings: Variables;
  /** Where the key is if no setting names it. */
  readonly keyPath?: string;
}

export interface NetworkDecision {
  /** Settings for the environment file. */
  readonly set: Variables;
  /** The flags of this call, by the names of settings. */
  readonly flags: Variables;
  /** The key file to write. */
  readonly file: InstallFile | undefined;
  readonly findings: readonly Finding[];
}

const HEAD =
  "# The key of this host's Spegel network, a secret: who has it takes part. 'spegel key' changes it.\n";

const WAYS = [
  '--new-network-key        on the first host of a closed network: makes a key, and prints the line for the others',
  '--network-key-file=FILE  on its other hosts: takes the key from FILE (-: from standard input)',
  '--open-network           no key: each host that reaches the ports takes part, and gets every image that it can name',
];

const CLOSE = 'spegel install --new-network-key';

/**
 * Decides whether a key closes the network of this host. A new host needs a flag; an installed host
 * stays as it is, and no flag opens a network that has a key. `readStandardInput` returns the text
 * of standard input. Throws SpegelError ERR_USAGE for several flags, ERR_NETWORK_KEY for a wrong
 * key.
 */
export async function decideNetwork(
  flags: NetworkFlags,
  state: NetworkState,
  readStandardInput: () => Promise<string>,
): Promise<NetworkDecision> {
  const { isKeyNew, keyFrom, isOpen } = flags;
  const given = [
    ...(isKeyNew ? ['--new-network-key'] : []),
    ...(keyFrom === undefined ? [] : ['--network-key-file']),
    ...(isOpen ? ['--open-network'] : []),
  ];
  if (given.length > 1) {
    const text = `expected one of --new-network-key, --network-key-file and --open-network, got ${given.join(' and ')}`;
    throw new SpegelError('ERR_USAGE', text);
  }
  const key = keyStateOf(state);
  if (isKeyNew) return makeKey(key);
  if (keyFrom !== undefined) return await takeKey(keyFrom, key, readStandardInput);
  return isOpen ? openNetwork(key) : undecidedNetwork(key, state);
}

interface KeyState {
  /** Where the key is or will be. */
  readonly path: string;
  readonly isThere: boolean;
  /** Whether a setting names the key: the network is closed. */
  readonly isSet: boolean;
  /** Whether the settings say that the network is open on purpose. */
  readonly isOpen: boolean;
}

function keyStateOf({ settings, keyPath = NETWORK_KEY_FILE }: NetworkState): KeyState {
  const named = settings.NETWORK_KEY_FILE?.trim() || undefined;
  const path = named ?? keyPath;
  const isOpen = isOpenOnPurpose(settings);
  return { path, isThere: existsSync(path), isSet: named !== undefined, isOpen };
}

/** Whether the settings say that the network is open on purpose. */
export function isOpenOnPurpose(settings: Variables): boolean {
  return /^(?:1|t|true)$/i.test(settings[OPEN_NETWORK]?.trim() ?? '');
}

const NOTHING = { set: {}, flags: {}, file: undefined, findings: [] } as const;

/** The settings that name the key. They also take back that the network is open. */
function closedBy({ path, isSet, isOpen }: KeyState): Variables {
  const named = isSet ? {} : { NETWORK_KEY_FILE: path };
  return isOpen ? { ...named, [OPEN_NETWORK]: 'false' } : named;
}

function fileAt(path: string, content: string): InstallFile {
  return { path, mode: 0o600, content, isKept: true };
}

function makeKey(key: KeyState): NetworkDecision {
  const { path, isThere, isSet } = key;
  const flags = { NEW_NETWORK_KEY: 'true' };
  if (isThere) {
    const text = `expected no key of a network yet, got ${path}: hosts with two keys never meet`;
    const lines = isSet
      ? ['# it is in use; another one in its place: spegel key new']
      : [`spegel install --network-key-file=${path}`];
    return { ...NOTHING, flags, findings: [obstacle('network', text, lines)] };
  }
  return { ...NOTHING, flags, set: closedBy(key), file: fileAt(path, HEAD + newKeyLine()) };
}

const GIVE_KEY = `give it the key file of another host; on the first host of a network: ${CLOSE}`;

async function takeKey(
  from: string,
  key: KeyState,
  readStandardInput: () => Promise<string>,
): Promise<NetworkDecision> {
  const { path, isThere } = key;
  const flags = { NETWORK_KEY_FILE: from };
  const source = from === '-' ? '(standard input)' : from;
  const text =
    from === '-' ? await readStandardInput() : (await readNetworkKeyText(from, GIVE_KEY)).text;
  const keys = parseNetworkKeys(source, text, GIVE_KEY);
  const set = closedBy(key);
  if (!isThere) return { ...NOTHING, flags, set, file: fileAt(path, text) };
  const there = parseNetworkKeys(path, (await readNetworkKeyText(path)).text);
  if (isSameKeys(keys, there)) return { ...NOTHING, flags, set };
  const said = `expected the key that ${path} has, got another: hosts with two keys never meet`;
  const lines = [
    '# to change the key of a network without a gap: spegel key add --from=FILE, and what that says then',
    '# where no host needs the one that is here:',
    `mv ${path} ${path}.before`,
  ];
  return { ...NOTHING, flags, findings: [obstacle('network', said, lines)] };
}

/** In any order: `spegel key use` decides which of two keys is used. */
function isSameKeys(some: readonly NetworkKey[], others: readonly NetworkKey[]): boolean {
  const isIn = ({ dht }: NetworkKey) => others.some((other) => other.dht.equals(dht));
  return some.length === others.length && some.every(isIn);
}

function openNetwork({ path, isThere, isSet, isOpen }: KeyState): NetworkDecision {
  const flags = { [OPEN_NETWORK]: 'true' };
  if (isSet || isThere) {
    const text = `expected no key beside --open-network, got ${path}: a network that was closed is not opened by a flag alone`;
    const lines = [
      '# to open it, so that each host that reaches it gets what it can name, take the key away first:',
      ...(isSet ? [`sed -i '/NETWORK_KEY_FILE=/d' ${ENVIRONMENT_FILE}`] : []),
      ...(isThere ? [`mv ${path} ${path}.before`] : []),
    ];
    return { ...NOTHING, flags, findings: [obstacle('network', text, lines)] };
  }
  return { ...NOTHING, flags, set: isOpen ? {} : { [OPEN_NETWORK]: 'true' } };
}

/** No flag decides. */
function undecidedNetwork(key: KeyState, { isInstalled }: NetworkState): NetworkDecision {
  const { path, isThere, isSet, isOpen } = key;
  if (isSet || isOpen) return NOTHING;
  if (isThere) {
    const text = `${path} is there, and no setting names it: this network is closed by it`;
    return { ...NOTHING, set: closedBy(key), findings: [note('network', text)] };
  }
  if (isInstalled) {
    const text = `the network of this host is open, and nobody has said that it is to be: each host that reaches it gets every image that it can name; '${CLOSE}' on one host closes it and prints the line for the others, 'spegel install --open-network' says that it is meant so`;
    return { ...NOTHING, findings: [note('network', text)] };
  }
  const text =
    'expected a decision who may take part in the network, got none: call it again with one of these';
  return { ...NOTHING, findings: [obstacle(UNDECIDED, text, WAYS)] };
}
