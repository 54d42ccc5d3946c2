import type { Command } from './process/command.ts';
import { COMPLETION_FILES, completionOf, type Shell } from './report/completions.ts';

export const completionCommand: Command = {
  name: 'completion',
  summary: 'print the completions for a shell, which install puts in place',
  argument: { name: 'shell', choices: Object.keys(COMPLETION_FILES) },
  options: {},
  async run({ shell }, context) {
    const [name = ''] = Array.isArray(shell) ? shell : [];
    context.stdout(completionOf(name as Shell, context.commands));
    return 0;
  },
};
