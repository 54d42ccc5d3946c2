import type { Environment, GivenOptions, OptionTable } from '../options/option.ts';

/** Exit statuses: 0 done, 3 a check found differences, the others as in lib/base/errors.ts. */
export type ExitStatus = 0 | 1 | 2 | 3 | 4 | 5;

/** What of the process a command may use. Tests give their own. */
export interface ProcessContext {
  readonly env: Environment;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Standard input; undefined: there is none. */
  readonly stdin?: () => AsyncIterable<Uint8Array>;
  readonly events: ProcessEvents;
  /** Ends the process at once. */
  readonly exit: (status: ExitStatus) => void;
}

/** What a command gets besides its options. */
export interface Context extends ProcessContext {
  /** Every command of the executable: completions list them, and a command must not import them. */
  readonly commands: readonly Command[];
  /** One message for each variable that begins with SPEGEL_ and belongs to no option. */
  readonly unknownVariables: readonly string[];
}

/** The process, as the source of signals and of errors that no handler caught. */
export interface ProcessEvents {
  on(event: NodeJS.Signals, listener: () => void): unknown;
  on(event: 'uncaughtException', listener: (error: unknown) => void): unknown;
  off(event: NodeJS.Signals, listener: () => void): unknown;
}

/**
 * A command of the executable. It imports what it needs when it runs, so that help and version stay
 * fast.
 */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Called only by our units, and not shown in help. */
  readonly isHidden?: true;
  /** A word that it needs besides its options. `run` gets it among the options, under this name. */
  readonly argument?: { readonly name: string; readonly choices: readonly string[] };
  readonly options: OptionTable;
  /** Its stderr is a log of JSON lines: it logs the messages about its variables itself. */
  readonly isLogging?: true;
  run(given: GivenOptions, context: Context): Promise<ExitStatus>;
}
