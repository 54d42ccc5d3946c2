import type { Option } from '../options/option.ts';
import type { Command } from '../process/command.ts';

/** What a shell completes for one command. */
interface Offer {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly Option<unknown>[];
  /** Words that may follow the command itself. */
  readonly words: readonly string[];
}

const HELP = 'print the help text of a command';

function offerOf({ name, summary, options, argument }: Command): Offer {
  return { name, summary, options: Object.values(options), words: argument?.choices ?? [] };
}

/** The name under which each shell looks for the completions of this program. */
export const COMPLETION_FILES = {
  bash: 'bash/spegel',
  zsh: 'zsh/_spegel',
  fish: 'fish/spegel.fish',
} as const;
export type Shell = keyof typeof COMPLETION_FILES;

const WRITERS: Readonly<Record<Shell, (offers: readonly Offer[]) => string>> = { bash, zsh, fish };

/** The completions of these commands for one shell. */
export function completionOf(shell: Shell, commands: readonly Command[]): string {
  return WRITERS[shell](commands.filter(({ isHidden }) => isHidden !== true).map(offerOf));
}

/** The completions for every shell, by the names of `COMPLETION_FILES`. */
export function completionsOf(commands: readonly Command[]): Readonly<Record<string, string>> {
  const shells = Object.keys(COMPLETION_FILES) as Shell[];
  return Object.fromEntries(
    shells.map((shell) => [COMPLETION_FILES[shell], completionOf(shell, commands)]),
  );
}

const commandNames = (offers: readonly Offer[]) => [...offers.map(({ name }) => name), 'help'];

/** A path is completed with file names, another value with nothing. */
const isPath = ({ placeholder }: Option<unknown>) => placeholder === 'path';

/** The options with a fixed set of values, each flag once. */
function withChoices(offers: readonly Offer[]): readonly Option<unknown>[] {
  const all = offers
    .flatMap(({ options }) => options)
    .filter(({ choices }) => choices !== undefined);
  return [...new Map(all.map((option) => [option.flag, option])).values()];
}

function bash(offers: readonly Offer[]): string {
  const cases = offers.map(({ name, options, words }) => {
    const flags = [...words, ...options.map(({ flag }) => flag), '--help'].join(' ');
    return `    ${name}) flags='${flags}' ;;\n`;
  });
  const paths = [
    ...new Set(
      offers
        .flatMap(({ options }) => options)
        .filter(isPath)
        .map(({ flag }) => flag),
    ),
  ];
  const values = withChoices(offers).map(({ flag, form, choices = [] }) => {
    // A switch may stand alone: `--flag true` would be two words, so values are offered only after
    // `=`.
    const guard = form === 'switch' ? '[ "$equals" ] && ' : '';
    return `    ${flag}) ${guard}values='${choices.join(' ')}' ;;\n`;
  });
  return `# bash completion for spegel
_spegel() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} flags= values= equals= first=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ] || [ "$previous" = help ]; then
    mapfile -t COMPREPLY < <(compgen -W '${commandNames(offers).join(' ')} --help' -- "$word")
    return
  fi
  # The shell takes --flag=value apart.
  if [ "$word" = = ]; then
    word= equals=1
  elif [ "$previous" = = ]; then
    previous=\${COMP_WORDS[COMP_CWORD - 2]} equals=1
  fi
  case $previous in
    ${[...paths, '--'].join('|')})
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return ;;
${values.join('')}  esac
  if [ "$values" ]; then
    # Of a list, what stands before the last comma is there already.
    case $word in *,*) first=\${word%,*}, ;; esac
    mapfile -t COMPREPLY < <(compgen -P "$first" -W "$values" -- "\${word##*,}")
    return
  fi
  case \${COMP_WORDS[1]} in
${cases.join('')}  esac
  mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word")
}
complete -o filenames -F _spegel spegel
`;
}

function zsh(offers: readonly Offer[]): string {
  const quote = (text: string) => text.replaceAll(/[[\]:\\]/g, '\\$&').replaceAll("'", "'\\''");
  const commands = offers.map(({ name, summary }) => `    '${name}:${quote(summary)}'\n`);
  const actionOf = (option: Option<unknown>) => {
    if (isPath(option)) return '_files';
    const words = option.choices?.join(' ');
    if (words === undefined) return '';
    return option.form === 'list' ? `_sequence compadd - ${words}` : `(${words})`;
  };
  const cases = offers.map(({ name, options, words }) => {
    const lines = options.map((option) => {
      const repeated = option.form === 'list' ? '*' : '';
      const value = `[${quote(option.help)}]:${option.placeholder}:${actionOf(option)}`;
      // A switch stands alone, or has its value in the same word.
      const sign = option.form === 'switch' ? '=-' : '=';
      const optional = option.form === 'switch' ? ':' : '';
      return `        '${repeated}${option.flag}${sign}${value.replace(']:', `]:${optional}`)}' \\\n`;
    });
    const argument = words.length === 0 ? '' : `        '1:${name}:(${words.join(' ')})' \\\n`;
    return `    ${name})\n      _arguments \\\n${argument}${lines.join('')}        '--help[print the help text]' ;;\n`;
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

function fish(offers: readonly Offer[]): string {
  const quote = (text: string) => `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
  const suffixOf = (option: Option<unknown>) => {
    const words = option.choices?.join(' ');
    if (option.form === 'switch') return ` -a ${quote(words ?? '')}`;
    if (isPath(option)) return ' -r -F';
    if (words === undefined) return ' -x';
    const list = `(__fish_append , ${words})`;
    return ` -x -a ${quote(option.form === 'list' ? list : words)}`;
  };
  const lines = offers.flatMap(({ name, summary, options, words }) => {
    const within = `complete -c spegel -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c spegel -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`,
      ...(words.length === 0 ? [] : [`${within} -a '${words.join(' ')}'`]),
      ...options.map((option) => {
        return `${within} -l ${option.flag.slice(2)}${suffixOf(option)} -d ${quote(option.help)}`;
      }),
    ];
  });
  return [
    '# fish completion for spegel',
    'complete -c spegel -f',
    ...lines,
    `complete -c spegel -n __fish_use_subcommand -a help -d ${quote(HELP)}`,
    `complete -c spegel -n '__fish_seen_subcommand_from help' -a '${commandNames(offers).join(' ')}'`,
    '',
  ].join('\n');
}
