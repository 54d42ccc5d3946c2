import type { Command } from './command.ts';

const SHELLS = { bash: 'bash/spegel', zsh: 'zsh/_spegel', fish: 'fish/spegel.fish' } as const;
type Shell = keyof typeof SHELLS;

export const completionCommand: Command = {
  name: 'completion',
  summary: 'print the completions for a shell, which install puts in place',
  argument: { name: 'shell', choices: Object.keys(SHELLS) },
  options: {},
  async run({ shell }, context) {
    // When it is needed: it lists all commands, this one among them.
    const { COMPLETIONS } = await import('./completions.ts');
    const [name = ''] = Array.isArray(shell) ? shell : [];
    context.stdout(COMPLETIONS[SHELLS[name as Shell]]?.() ?? '');
    return 0;
  },
};
