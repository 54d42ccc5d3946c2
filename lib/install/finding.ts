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
}

/** Makes an obstacle. */
export function obstacle(about: string, message: string, lines: readonly string[] = []): Finding {
  return { kind: 'obstacle', about, message, lines };
}

/** Makes advice. */
export function advice(about: string, message: string, lines: readonly string[] = []): Finding {
  return { kind: 'advice', about, message, lines };
}

/** Makes a note. */
export function note(about: string, message: string, lines: readonly string[] = []): Finding {
  return { kind: 'note', about, message, lines };
}

/** Whether something is left to do for the person who is told. */
export function isToDo({ kind }: Finding): boolean {
  return kind !== 'note';
}
