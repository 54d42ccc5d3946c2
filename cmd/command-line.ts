import { Command as Commander, CommanderError, Option as CommanderOption } from 'commander';
import { messageOf, SpegelError } from '../lib/base/errors.ts';
import type { Command, Context, ExitStatus } from './command.ts';
import type { Given, GivenOptions, Option, OptionTable } from './option.ts';
import { COMMON_OPTIONS, GENERAL_GROUP } from './options.ts';
import { usageProblem } from './values.ts';

/** Widest help text; what is read on a screen is not easier for being wider. */
const MAX_HELP_WIDTH = 100;

/**
 * Runs the command that `argv` (without node and script) names, and gives the exit status. Errors for a
 * person are one line on stderr; a defect is printed with its stack.
 */
export async function runCommandLine(
  argv: readonly string[],
  commands: readonly Command[],
  context: Context & { readonly columns?: number | undefined },
): Promise<ExitStatus> {
  let status: ExitStatus = 0;
  const program = new Commander('spegel')
    .description('Peer-to-peer image mirror for hosts that run containerd')
    .enablePositionalOptions()
    .configureHelp({ helpWidth: Math.min(context.columns ?? 80, MAX_HELP_WIDTH) })
    .configureOutput({
      writeOut: context.stdout,
      writeErr: context.stderr,
      outputError: () => {},
    })
    .exitOverride(rethrow(''))
    .helpCommand(false);
  addOptions(program, COMMON_OPTIONS);
  for (const command of commands) {
    addCommand(program, command, async (given) => {
      status = await command.run({ ...program.opts<GivenOptions>(), ...given }, context);
    });
  }
  addHelpCommand(program);
  try {
    await program.parseAsync(argv.map(withTwoDashes), { from: 'user' });
    return status;
  } catch (error) {
    return report(error, context);
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
    .exitOverride(rethrow(command.name));
  addOptions(child, command.options);
  child.action(() => run(child.opts<GivenOptions>()).catch(rethrow(command.name)));
}

/** commander only collects texts here: what they mean, defaults and environment are readOptions' matter. */
function addOptions(target: Commander, table: OptionTable): void {
  target.addHelpOption(
    new CommanderOption('-h, --help', 'print this text').helpGroup(GENERAL_GROUP),
  );
  const flags = Object.values(table).map((option) => option.flag);
  const isFlag = (text: string) =>
    flags.some((flag) => text === flag || text.startsWith(`${flag}=`));
  const fail = rethrow(target.parent === null ? '' : target.name());
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
        const names = program.commands.map((candidate) => candidate.name()).join(', ');
        throw new SpegelError('ERR_USAGE', `unknown command '${name}', expected one of ${names}`);
      }
      (command ?? program).outputHelp();
    });
}

/** Every error that leaves a command becomes a SpegelError that says where to read on, if it is about usage. */
function rethrow(command: string): (error: unknown) => never {
  return (error) => {
    const hint = `see '${command === '' ? 'spegel --help' : `spegel help ${command}`}'`;
    if (error instanceof CommanderError) {
      if (error.code.startsWith('commander.help')) throw error;
      throw new SpegelError('ERR_USAGE', `${messageOfCommander(error)}; ${hint}`, { cause: error });
    }
    if (!(error instanceof SpegelError) || error.exitCode !== 2) throw error;
    throw new SpegelError(error.code, `${error.message}; ${hint}`, { cause: error });
  };
}

/** commander's message in our words: what was expected, what came. */
function messageOfCommander({ code, message }: CommanderError): string {
  const [, option = ''] = /'(--[\w-]+) .*' argument missing/.exec(message) ?? [];
  if (code === 'commander.optionMissingArgument') return `${option}: expected a value, got none`;
  const [, extra = ''] = /but got \d+: (.*?)\.?$/s.exec(message) ?? [];
  const isExtra = code === 'commander.excessArguments';
  if (isExtra) return `expected only options, got ${JSON.stringify(extra)}`;
  return message.replace(/^error: /, '');
}

/** Prints what ended the command; help that was asked for ends it with 0, help for want of a command with 2. */
function report(error: unknown, context: Context): ExitStatus {
  if (error instanceof CommanderError) return error.code === 'commander.helpDisplayed' ? 0 : 2;
  if (error instanceof SpegelError) {
    context.stderr(`spegel: ${error.message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
    return error.exitCode;
  }
  const stack = error instanceof Error ? error.stack : undefined;
  context.stderr(`spegel: unexpected error, please report it: ${stack ?? messageOf(error)}\n`);
  return 1;
}
