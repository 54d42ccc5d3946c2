import { single, toggle } from './options/option.ts';
import { readOptions } from './options/read-options.ts';
import { oneOf } from './options/values.ts';
import { buildInfo, versionText } from './process/build.ts';
import type { Command } from './process/command.ts';

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
    context.stdout(`${json || format === 'json' ? JSON.stringify(buildInfo()) : versionText()}\n`);
    return 0;
  },
};
