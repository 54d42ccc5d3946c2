import type { Command } from './command.ts';
import { readOptions, single, toggle } from './option.ts';
import { oneOf } from './values.ts';

// esbuild's `define` puts literals here; run from source they do not exist.
declare const __SPEGEL_VERSION__: string;
declare const __SPEGEL_COMMIT__: string;

/** Version of this build; `dev` when run from source. */
export const VERSION = typeof __SPEGEL_VERSION__ === 'undefined' ? 'dev' : __SPEGEL_VERSION__;
const COMMIT = typeof __SPEGEL_COMMIT__ === 'undefined' ? 'unknown' : __SPEGEL_COMMIT__;

/** Architectures are named as in the names of the release archives, which are Go's. */
const GO_ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64' };

const FORMATS = ['text', 'json'] as const;

export const VERSION_OPTIONS = {
  format: single({
    flag: '--format',
    placeholder: 'format',
    group: 'General:',
    help: 'text or json',
    fallback: 'text',
    choices: FORMATS,
    parse: oneOf(FORMATS),
    env: undefined,
  }),
  json: toggle({
    flag: '--json',
    env: undefined,
    group: 'General:',
    help: 'as --format json',
    fallback: 'false',
  }),
} as const;

export const versionCommand: Command = {
  name: 'version',
  summary: 'print version, commit, Node and architecture',
  options: VERSION_OPTIONS,
  async run(given, context) {
    const { format, json } = readOptions(VERSION_OPTIONS, given, context.env);
    context.stdout(`${json || format === 'json' ? JSON.stringify(build()) : versionText()}\n`);
    return 0;
  },
};

function build() {
  const arch = GO_ARCHITECTURES[process.arch] ?? process.arch;
  return { version: VERSION, commit: COMMIT, node: process.version, arch };
}

/** Version, commit, Node and architecture on one line. */
export function versionText(): string {
  const { version, commit, node, arch } = build();
  return `spegel ${version} (commit ${commit}, node ${node}, linux/${arch})`;
}
