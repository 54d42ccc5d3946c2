import type { Command } from './command.ts';
import { COMMANDS } from './commands.ts';
import type { Option } from './option.ts';
import { COMMON_OPTIONS } from './options.ts';

/** What a shell may offer: the commands, and each one's options. */
interface Offer {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly Option<unknown>[];
}

const HELP = 'print the help text of a command';

const OFFERS: readonly Offer[] = COMMANDS.filter(({ isHidden }) => isHidden !== true).map(offerOf);

function offerOf({ name, summary, options }: Command): Offer {
  const byFlag = new Map<string, Option<unknown>>();
  for (const option of [...Object.values(options), ...Object.values(COMMON_OPTIONS)]) {
    byFlag.set(option.flag, option);
  }
  return { name, summary, options: [...byFlag.values()] };
}

/** The completions of each shell, by the name under which that shell looks for them. */
export const COMPLETIONS: Readonly<Record<string, () => string>> = {
  'bash/spegel': bash,
  'zsh/_spegel': zsh,
  'fish/spegel.fish': fish,
};

const names = () => [...OFFERS.map(({ name }) => name), 'help'];

/** Options that take a path are completed with file names, the others with nothing. */
const isPath = ({ placeholder }: Option<unknown>) => placeholder === 'path';

function bash(): string {
  const cases = OFFERS.map(({ name, options }) => {
    const flags = [...options.map(({ flag }) => flag), '--help'].join(' ');
    return `    ${name}) flags='${flags}' ;;\n`;
  });
  const paths = [
    ...new Set(
      OFFERS.flatMap(({ options }) => options)
        .filter(isPath)
        .map(({ flag }) => flag),
    ),
  ];
  return `# bash completion for spegel
_spegel() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} flags=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ] || [ "$previous" = help ]; then
    mapfile -t COMPREPLY < <(compgen -W '${names().join(' ')} --help' -- "$word")
    return
  fi
  case $previous in
    ${[...paths, '--'].join('|')})
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return ;;
  esac
  case \${COMP_WORDS[1]} in
${cases.join('')}  esac
  mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word")
}
complete -o filenames -F _spegel spegel
`;
}

function zsh(): string {
  const quote = (text: string) => text.replaceAll(/[[\]:\\]/g, '\\$&').replaceAll("'", "'\\''");
  const commands = OFFERS.map(({ name, summary }) => `    '${name}:${quote(summary)}'\n`);
  const cases = OFFERS.map(({ name, options }) => {
    const lines = options.map((option) => {
      const repeated = option.form === 'list' ? '*' : '';
      const value = `=[${quote(option.help)}]:${option.placeholder}:${isPath(option) ? '_files' : ''}`;
      const rest = option.form === 'switch' ? `[${quote(option.help)}]` : value;
      return `        '${repeated}${option.flag}${rest}' \\\n`;
    });
    return `    ${name})\n      _arguments \\\n${lines.join('')}        '--help[print the help text]' ;;\n`;
  });
  return `#compdef spegel
_spegel() {
  local -a commands=(
${commands.join('')}    'help:${HELP}'
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('')}    help) _describe command commands ;;
  esac
}
_spegel "$@"
`;
}

function fish(): string {
  const quote = (text: string) => `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
  const lines = OFFERS.flatMap(({ name, summary, options }) => [
    `complete -c spegel -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`,
    ...options.map((option) => {
      const value = option.form === 'switch' ? '' : isPath(option) ? ' -r -F' : ' -r';
      const flag = option.flag.slice(2);
      return `complete -c spegel -n '__fish_seen_subcommand_from ${name}' -l ${flag}${value} -d ${quote(option.help)}`;
    }),
  ]);
  return [
    '# fish completion for spegel',
    'complete -c spegel -f',
    ...lines,
    `complete -c spegel -n __fish_use_subcommand -a help -d ${quote(HELP)}`,
    `complete -c spegel -n '__fish_seen_subcommand_from help' -a '${names().join(' ')}'`,
    '',
  ].join('\n');
}
