import { Command as Commander, CommanderError, Option as CommanderOption } from 'commander';
import { messageOf, SpegelError } from '../lib/base/errors.ts';
import { COMMON_OPTIONS, GENERAL_GROUP } from './options/common-options.ts';
import type { Given, GivenOptions, Option, OptionTable } from './options/option.ts';
import { usageProblem } from './options/values.ts';
import { unknownVariables } from './options/variables.ts';
import { versionText } from './process/build.ts';
import type { Command, ExitStatus, ProcessContext } from './process/command.ts';

/** The widest help text: longer lines are no easier to read. */
const MAX_HELP_WIDTH = 100;
/** Of 80 columns the longest flag leaves less than the 40 below which commander wraps nothing. */
const MIN_WRAP_WIDTH = 30;

/**
 * Runs the command that `argv` (without node and script) names, and returns the exit status. An
 * error for a person is one line on stderr; a defect is printed with its stack.
 */
export async function runCommandLine(
  argv: readonly string[],
  commands: readonly Command[],
  context: ProcessContext & { readonly columns?: number | undefined },
): Promise<ExitStatus> {
  let status: ExitStatus = 0;
  const program = new Commander('spegel')
    .description('Peer-to-peer image mirror for hosts that run containerd')
    .enablePositionalOptions()
    .configureHelp({
      helpWidth: Math.min(context.columns ?? 80, MAX_HELP_WIDTH),
      minWidthToWrap: MIN_WRAP_WIDTH,
    })
    .configureOutput({
      writeOut: context.stdout,
      writeErr: context.stderr,
      outputError: () => {},
    })
    .exitOverride(rethrowAsUsage(''))
    .helpCommand(false);
  addOptions(program, COMMON_OPTIONS);
  addVersion(program, context);
  program.addHelpText('after', PREFIX_NOTE);
  const tables = commands.map(({ options }) => options);
  const unknown = unknownVariables(context.env, tables);
  for (const command of commands) {
    addCommand(program, command, async (given) => {
      const common = program.opts<GivenOptions>();
      refuseForeignOptions(command, common);
      if (command.isLogging !== true && command.isHidden !== true) printNotes(unknown, context);
      const own = { ...context, commands, unknownVariables: unknown };
      status = await command.run({ ...common, ...given }, own);
    });
  }
  addHelpCommand(program);
  try {
    const words = argv.map(withTwoDashes);
    await program.parseAsync(withoutHelp(words, program), { from: 'user' });
    return status;
  } catch (error) {
    return printError(error, context);
  }
}

/** go-arg, the parser of Go Spegel, takes `-registry-addr` too. */
function withTwoDashes(word: string): string {
  return /^-[a-z][a-z0-9-]+(?:=|$)/.test(word) ? `-${word}` : word;
}

function addCommand(
  program: Commander,
  command: Command,
  run: (given: GivenOptions) => Promise<void>,
): void {
  const child = program
    .command(command.name, { hidden: command.isHidden === true })
    .summary(command.summary)
    .description(`${command.summary.charAt(0).toUpperCase()}${command.summary.slice(1)}.`)
    .exitOverride(rethrowAsUsage(command.name, command.argument?.choices));
  addOptions(child, command.options);
  if (Object.values(command.options).some(({ env }) => env !== undefined)) {
    child.addHelpText('after', PREFIX_NOTE);
  }
  const { argument } = command;
  if (argument === undefined) {
    child.action(() => run(child.opts<GivenOptions>()).catch(rethrowAsUsage(command.name)));
    return;
  }
  const { name, choices } = argument;
  child.argument(`<${name}>`);
  child.action(async (word: string) => {
    const fail = rethrowAsUsage(command.name);
    if (!choices.includes(word)) fail(usageProblem(choices.join(' or '), word));
    await run({ ...child.opts<GivenOptions>(), [name]: [word] }).catch(fail);
  });
}

/**
 * Keeps only the name of an unknown command. With `--help` beside it, commander would print the
 * general help.
 */
function withoutHelp(words: readonly string[], program: Commander): readonly string[] {
  const { flag } = COMMON_OPTIONS.logLevel;
  const name = words.find((word, index) => !word.startsWith('-') && words[index - 1] !== flag);
  const isKnown = program.commands.some((command) => command.name() === name);
  return name === undefined || isKnown ? words : [name];
}

function addVersion(program: Commander, { stdout }: ProcessContext): void {
  program.addOption(new CommanderOption('--version', 'print the version').helpGroup(GENERAL_GROUP));
  program.on('option:version', () => {
    stdout(`${versionText()}\n`);
    throw new CommanderError(0, 'commander.version', '');
  });
}

/** Options in front of a command belong to the commands of Go Spegel; the others refuse them. */
function refuseForeignOptions({ name, options }: Command, given: GivenOptions): void {
  for (const [key, { flag }] of Object.entries<Option<unknown>>(COMMON_OPTIONS)) {
    if (given[key] !== undefined && !(key in options)) throw unknownOption(flag, `for ${name}`);
  }
}

function unknownOption(flag: string, where: string): SpegelError {
  return new SpegelError('ERR_USAGE', `unknown option '${flag}' ${where}`);
}

function printNotes(notes: readonly string[], { stderr }: ProcessContext): void {
  for (const note of notes) stderr(`spegel: note: ${note}\n`);
}

const PREFIX_NOTE =
  '\nEach variable is read with the prefix SPEGEL_ as well, which wins:\nSPEGEL_LOG_LEVEL.\n';

/**
 * commander only collects the texts of options. `readOptions` parses them and applies the defaults
 * and the environment.
 */
function addOptions(target: Commander, table: OptionTable): void {
  target.addHelpOption(
    new CommanderOption('-h, --help', 'print this text').helpGroup(GENERAL_GROUP),
  );
  const flags = Object.values(table).map((option) => option.flag);
  const isFlag = (text: string) =>
    flags.some((flag) => text === flag || text.startsWith(`${flag}=`));
  const fail = rethrowAsUsage(target.parent === null ? '' : target.name());
  for (const [key, option] of Object.entries(table)) {
    const declared = new CommanderOption(`${option.flag} ${valueTerm(option)}`, helpOf(option))
      .helpGroup(option.group)
      .argParser((text: string, previous: Given) => {
        // `--registry-addr --router-addr :5001`: the value was forgotten.
        if (isFlag(text)) fail(valueMissing(option.flag, text));
        return Array.isArray(previous) ? [...previous, text] : [text];
      });
    if (declared.attributeName() !== key) {
      throw new Error(`${option.flag} belongs under the key ${declared.attributeName()}`);
    }
    target.addOption(declared);
  }
}

function valueMissing(flag: string, text: string): SpegelError {
  return new SpegelError('ERR_USAGE', `${flag}: ${usageProblem('a value', text).message}`);
}

function valueTerm(option: Option<unknown>): string {
  if (option.form === 'list') return `[${option.placeholder}...]`;
  return option.form === 'switch' ? `[${option.placeholder}]` : `<${option.placeholder}>`;
}

function helpOf({ help, fallback, env }: Option<unknown>): string {
  const facts = [
    ...(fallback ? [`default ${fallback}`] : []),
    ...(env === undefined ? [] : [`env ${env}`]),
  ];
  return facts.length === 0 ? help : `${help}\n(${facts.join(', ')})`;
}

function addHelpCommand(program: Commander): void {
  program
    .command('help')
    .argument('[command]')
    .summary('print the help text of a command')
    .action((name: string | undefined) => {
      const command = program.commands.find((candidate) => candidate.name() === name);
      if (name !== undefined && command === undefined) {
        const visible = program.createHelp().visibleCommands(program);
        const names = visible.map((candidate) => candidate.name()).join(', ');
        throw new SpegelError('ERR_USAGE', `unknown command '${name}', expected one of ${names}`);
      }
      (command ?? program).outputHelp();
    });
}

/**
 * Turns every usage error of a command into a SpegelError that names the help to read. `choices`:
 * those of the command's argument.
 */
function rethrowAsUsage(
  command: string,
  choices: readonly string[] = [],
): (error: unknown) => never {
  return (error) => {
    const hint = `see '${command === '' ? 'spegel --help' : `spegel help ${command}`}'`;
    if (error instanceof CommanderError) {
      if (/^commander\.(?:help|version)/.test(error.code)) throw error;
      throw new SpegelError('ERR_USAGE', `${messageOfCommander(error, choices)}; ${hint}`, {
        cause: error,
      });
    }
    if (!(error instanceof SpegelError) || error.exitCode !== 2) throw error;
    throw new SpegelError(error.code, `${error.message}; ${hint}`, { cause: error });
  };
}

/** commander's message in the form of all others: what was expected, and what came. */
function messageOfCommander({ code, message }: CommanderError, choices: readonly string[]): string {
  const [, option = ''] = /'(--[\w-]+) .*' argument missing/.exec(message) ?? [];
  if (code === 'commander.optionMissingArgument') return `${option}: expected a value, got none`;
  const [, argument] = /^error: missing required argument '(.*)'$/.exec(message) ?? [];
  if (argument !== undefined) return `${argument}: expected ${choices.join(' or ')}, got none`;
  const [, extra = ''] = /but got \d+: (.*?)\.?$/s.exec(message) ?? [];
  const isExtra = code === 'commander.excessArguments';
  if (isExtra) return `expected only options, got ${JSON.stringify(extra)}`;
  return message.replace(/^error: /, '');
}

/**
 * Prints what ended the command. Status 0 for help that was asked for, 2 for the help that a
 * missing command brings.
 */
function printError(error: unknown, context: ProcessContext): ExitStatus {
  if (error instanceof CommanderError) {
    return ['commander.helpDisplayed', 'commander.version'].includes(error.code) ? 0 : 2;
  }
  if (error instanceof SpegelError) {
    context.stderr(`spegel: ${error.message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
    return error.exitCode;
  }
  const stack = error instanceof Error ? error.stack : undefined;
  context.stderr(`spegel: unexpected error, please report it: ${stack ?? messageOf(error)}\n`);
  return 1;
}
