/** Something about this host that the person who installs is to know. */
export interface Finding {
  /** An obstacle prevents the installation, nothing is touched; advice is given, and it goes on. */
  readonly kind: 'obstacle' | 'advice';
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
