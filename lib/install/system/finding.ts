/** Something about this host that the administrator has to know. */
export interface Finding {
  /**
   * An obstacle prevents the installation, and nothing is touched. Advice says what else is to be
   * done, and the installation goes on. A note describes the host; nothing is to be done.
   */
  readonly kind: 'obstacle' | 'advice' | 'note';
  /** What it is about: one stable word, for scripts. */
  readonly about: string;
  /** What was expected, what was found, and what to do. */
  readonly message: string;
  /** What to write or to run, line by line. */
  readonly lines: readonly string[];
  /** Since when it is so, ISO 8601, where that is known. */
  readonly since?: string | undefined;
}

type Lines = readonly string[];

export function obstacle(
  about: string,
  message: string,
  lines: Lines = [],
  since?: string,
): Finding {
  return { kind: 'obstacle', about, message, lines, since };
}

export function advice(about: string, message: string, lines: Lines = [], since?: string): Finding {
  return { kind: 'advice', about, message, lines, since };
}

export function note(about: string, message: string, lines: Lines = [], since?: string): Finding {
  return { kind: 'note', about, message, lines, since };
}

/** Whether the administrator has something left to do. */
export function isToDo({ kind }: Finding): boolean {
  return kind !== 'note';
}

/** Of the lines of a finding, those that a shell runs. The others go into a file. */
const COMMAND =
  /^(?:\(umask|chmod|chown|containerd|ctr|curl|df|findmnt|journalctl|mkdir|mv|rm|sed|spegel|ss|systemctl) /;

/** The finding as `--json` prints it. */
export interface PrintedFinding extends Finding {
  readonly name: string;
  readonly text: string;
  /** The lines that a shell runs, in this order. */
  readonly commands: readonly string[];
}

/**
 * `about` and `message` repeat `name` and `text`: scripts read the names of the first release.
 * `program`: see `calledAs`.
 */
export function printed(finding: Finding, program: string): PrintedFinding {
  const { about: name, message: text, lines: all } = finding;
  const lines = all.map((line) => calledAs(program, line));
  const commands = all.filter((line) => COMMAND.test(line));
  const called = commands.map((line) => calledAs(program, line));
  return { ...finding, lines, name, text, commands: called };
}

/**
 * The line with `program` in place of `spegel`. Before the installation a shell finds no `spegel`,
 * or the one of another release, which does not do what this one advises.
 */
export function calledAs(program: string, line: string): string {
  return line.replace(/^spegel /, () => `${shellWord(program)} `);
}

/** A word in the quotes that a shell needs. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The flag of an option, from the name of its variable without our prefix. */
export function flagOf(variable: string): string {
  return `--${variable.toLowerCase().replaceAll('_', '-')}`;
}
