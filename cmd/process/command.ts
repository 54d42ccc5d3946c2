import type { Environment, GivenOptions, OptionTable } from '../options/option.ts';

/** Exit codes: 0 done, 3 a check found differences, the others as in lib/base/errors.ts. */
export type ExitStatus = 0 | 1 | 2 | 3 | 4 | 5;

/** What of the process a command may use; tests give their own. */
export interface ProcessContext {
  readonly env: Environment;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** What is piped to it; where there is none, nothing is. */
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

/** Where signals and errors that nobody caught arrive: the process. */
export interface ProcessEvents {
  on(event: NodeJS.Signals, listener: () => void): unknown;
  on(event: 'uncaughtException', listener: (error: unknown) => void): unknown;
  off(event: NodeJS.Signals, listener: () => void): unknown;
}

/** A command of the executable. What it needs to run it imports when it runs: help and version stay fast. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Called by our units alone, and not offered to people. */
  readonly isHidden?: true;
  /** A word that it needs beside its options; `run` gets it among them, under this name. */
  readonly argument?: { readonly name: string; readonly choices: readonly string[] };
  readonly options: OptionTable;
  /** Its stderr is a log of JSON lines: what is to be said of its variables it logs itself. */
  readonly isLogging?: true;
  run(given: GivenOptions, context: Context): Promise<ExitStatus>;
}
