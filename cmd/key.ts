import { existsSync } from 'node:fs';
import { SpegelError } from '../lib/base/errors.ts';
import type { KeyEdit, KeyFingerprints } from '../lib/install/settings/network-key-edit.ts';
import { NETWORK_KEY_FILE } from '../lib/install/system/layout.ts';
import { MAX_KEY_FILE_BYTES } from '../lib/network-key/constants.ts';
import { readNetworkKeyText } from '../lib/network-key/file.ts';
import { installedEnvironmentIfReadable } from './installed/installed-settings.ts';
import { KEY_OPTIONS } from './options/key-options.ts';
import type { Environment, ValuesOf } from './options/option.ts';
import { readOptions } from './options/read-options.ts';
import type { Command, Context } from './process/command.ts';
import { readStandardInput } from './process/standard-input.ts';
import { untilStopped } from './process/until-stopped.ts';
import { withJsonProblem } from './report/install-report.ts';

const ACTIONS = ['new', 'show', 'add', 'use', 'remove'] as const;
type Action = (typeof ACTIONS)[number];
type Values = ValuesOf<typeof KEY_OPTIONS>;

export const keyCommand: Command = {
  name: 'key',
  summary:
    'show the key of the network, or change it: new on one host, then add, use and remove on each',
  argument: { name: 'action', choices: ACTIONS },
  options: KEY_OPTIONS,
  async run({ action: word, ...given }, context) {
    const values = readOptions(KEY_OPTIONS, given, context.env);
    const [action = 'show'] = Array.isArray(word) ? (word as Action[]) : [];
    return withJsonProblem(values, context, async () => {
      refuseForeignFlags(action, values);
      const settings = installedEnvironmentIfReadable();
      const path = values.networkKeyFile ?? (settings.NETWORK_KEY_FILE?.trim() || NETWORK_KEY_FILE);
      const outcome = await untilStopped(context.events, (signal) =>
        runAction(action, path, { values, settings, context, signal }),
      );
      print({ path, ...outcome }, values, context);
      return 0;
    });
  },
};

/** The option that each action needs. */
const NEEDS: Readonly<Partial<Record<Action, 'from' | 'key'>>> = {
  add: 'from',
  use: 'key',
  remove: 'key',
};

function refuseForeignFlags(action: Action, values: Values): void {
  for (const name of ['from', 'key'] as const) {
    const isNeeded = NEEDS[action] === name;
    if (isNeeded === (values[name] !== undefined)) continue;
    const { flag, placeholder } = KEY_OPTIONS[name];
    const text = isNeeded
      ? `key ${action}: expected ${flag} <${placeholder}>, got none`
      : `key ${action}: expected no ${flag}, got one`;
    throw new SpegelError('ERR_USAGE', text);
  }
}

interface KeyOutcome {
  readonly fingerprints: KeyFingerprints;
  /** What was done, in words; undefined: the file was only read. */
  readonly summary?: string;
  readonly isChanged: boolean;
  /** The next steps, line by line. */
  readonly next: readonly string[];
}

interface KeyCall {
  readonly values: Values;
  readonly settings: Environment;
  readonly context: Context;
  readonly signal: AbortSignal;
}

async function runAction(action: Action, path: string, call: KeyCall): Promise<KeyOutcome> {
  const edits = await import('../lib/install/settings/network-key-edit.ts');
  const { from = '', key = '' } = call.values;
  switch (action) {
    case 'show': {
      const { text } = await readNetworkKeyText(path);
      return { fingerprints: edits.fingerprintsOf(path, text), isChanged: false, next: [] };
    }
    case 'new': {
      if (!existsSync(path)) return firstKeyOutcome(edits.makeKeyFile(path), path);
      return newKeyOutcome(await edited(path, edits.withNewKey), path, call);
    }
    case 'add': {
      const text =
        from === '-'
          ? await readStandardInput(call.context, MAX_KEY_FILE_BYTES, call.signal)
          : (await readNetworkKeyText(from, edits.GIVE_KEY)).text;
      const source = from === '-' ? '(standard input)' : from;
      const edit = await edited(path, edits.withKeyOf(text, source));
      // A key that was in the file before may be an old one, which no host uses any more.
      const next = edit.isChanged ? useSteps(edit.fingerprints, call) : [];
      return { ...edit, summary: addedText(edit, path), next };
    }
    case 'use': {
      const edit = await edited(path, edits.withKeyUsed(key));
      const next = edit.fingerprints.others.map(
        (other) =>
          `when every host uses ${key}, on each: spegel key remove --key=${other}${fileFlag(call)}`,
      );
      return {
        ...edit,
        summary: edit.isChanged ? `${key} is used` : `${key} was used already`,
        next,
      };
    }
    case 'remove': {
      const edit = await edited(path, edits.withoutKey(key));
      const summary = edit.isChanged
        ? `removed ${key} from ${path}`
        : `${path} does not have ${key}`;
      const isOver = edit.isChanged && edit.fingerprints.others.length === 0;
      return { ...edit, summary, next: isOver ? [REMOVED] : [] };
    }
  }
}

const REMOVED = 'the same on every other host; then the change is over';

type Edited = Awaited<ReturnType<typeof edited>>;

async function edited(path: string, edit: KeyEdit) {
  const { editKeyFile } = await import('../lib/install/settings/network-key-edit.ts');
  return await editKeyFile(path, edit);
}

function addedText({ isChanged, fingerprints: { others } }: Edited, path: string): string {
  if (!isChanged) return `nothing to add: ${path} has it`;
  return `added ${others[0]} to ${path}: it is accepted, and not used yet`;
}

/** The flag for a file that the settings do not name: the next steps must name it, too. */
function fileFlag({ values: { networkKeyFile: path } }: KeyCall): string {
  return path === undefined ? '' : ` --network-key-file=${path}`;
}

/** The first key of a network. No old key has to be replaced. */
function firstKeyOutcome(fingerprints: KeyFingerprints, path: string): KeyOutcome {
  const next = [
    `the same file on every host, mode 0600; a service takes it by 'spegel install --network-key-file=${path}', a daemon by --network-key-file`,
  ];
  return { fingerprints, isChanged: true, summary: `made ${path}`, next };
}

async function newKeyOutcome(edit: Edited, path: string, call: KeyCall): Promise<KeyOutcome> {
  const { fetchCommand } = await import('../lib/install/settings/other-hosts.ts');
  const fetch = await fetchCommand(path, call.settings);
  const addStep = `on each other host: ${fetch} | spegel key add --from=-${fileFlag(call)}`;
  return {
    ...edit,
    summary: addedText(edit, path),
    next: [addStep, ...useSteps(edit.fingerprints, call)],
  };
}

function useSteps({ others }: KeyFingerprints, call: KeyCall): string[] {
  return others.map(
    (other) =>
      `when every host has it ('spegel key show'), on each: spegel key use --key=${other}${fileFlag(call)}`,
  );
}

function print(
  { path, fingerprints, summary, isChanged, next }: KeyOutcome & { readonly path: string },
  { json }: Values,
  { stdout }: Context,
): void {
  if (json) {
    stdout(`${JSON.stringify({ path, ...fingerprints, isChanged, next })}\n`);
    return;
  }
  if (summary !== undefined) stdout(`${summary}\n`);
  stdout(`used     ${fingerprints.used}\n`);
  for (const other of fingerprints.others) stdout(`accepted ${other}\n`);
  for (const [index, line] of next.entries()) stdout(`${index === 0 ? 'next' : 'then'}: ${line}\n`);
}
