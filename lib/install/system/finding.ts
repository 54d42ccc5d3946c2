/** Something about this host that the person who installs is to know. */
export interface Finding {
  /**
   * An obstacle prevents the installation, nothing is touched; advice says what else is to do, and the
   * installation goes on; a note says how things are, and nothing is to do.
   */
  readonly kind: 'obstacle' | 'advice' | 'note';
  /** What it is about, one stable word for scripts. */
  readonly about: string;
  /** What was expected, what is there, and what to do. */
  readonly message: string;
  /** What to write or to run, line by line. */
  readonly lines: readonly string[];
  /** Since when it is so, ISO 8601, where that is known. */
  readonly since?: string | undefined;
}

type Lines = readonly string[];

/** Makes an obstacle. */
export function obstacle(
  about: string,
  message: string,
  lines: Lines = [],
  since?: string,
): Finding {
  return { kind: 'obstacle', about, message, lines, since };
}

/** Makes advice. */
export function advice(about: string, message: string, lines: Lines = [], since?: string): Finding {
  return { kind: 'advice', about, message, lines, since };
}

/** Makes a note. */
export function note(about: string, message: string, lines: Lines = [], since?: string): Finding {
  return { kind: 'note', about, message, lines, since };
}

/** Whether something is left to do for the person who is told. */
export function isToDo({ kind }: Finding): boolean {
  return kind !== 'note';
}

/** What a shell runs, of the lines of findings; the others are for a file. */
const COMMAND =
  /^(?:\(umask|chmod|chown|containerd|ctr|curl|df|findmnt|journalctl|mkdir|mv|rm|sed|spegel|ss|systemctl) /;

/** The finding as `--json` prints it. */
export interface PrintedFinding extends Finding {
  readonly name: string;
  readonly text: string;
  /** What a shell runs, in this order. */
  readonly commands: readonly string[];
}

/**
 * `about` and `message` are the names of the first release for `name` and `text`: scripts read
 * them.
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
 * A line with `program` in place of `spegel`: before it is installed a shell finds none of that
 * name, and the one of another release does not do what this one advises.
 */
export function calledAs(program: string, line: string): string {
  return line.replace(/^spegel /, () => `${shellWord(program)} `);
}

/** A word as a shell takes it. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
