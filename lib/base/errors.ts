/**
 * Exit codes of the executable. 1: it failed while running. 2: the command line or a setting is
 * wrong. 4: another program listens where containerd would ask this host's Spegel. 5: no setting
 * could be written.
 */
export type ExitCode = 1 | 2 | 4 | 5;

/** The stable codes of all errors for a person; scripts and tests match on them. */
export const ERROR_CODES = {
  ERR_USAGE: 2,
  ERR_OPTION_VALUE: 2,
  ERR_LISTEN: 1,
  ERR_SOCKET: 1,
  ERR_DATA_DIR: 1,
  ERR_IDENTITY: 1,
  ERR_NETWORK_KEY: 1,
  ERR_STORE: 1,
  ERR_HOSTS: 1,
  ERR_PORT: 4,
  ERR_NOT_CONFIGURED: 5,
  ERR_CLEANUP_WAIT: 1,
  ERR_INSTALL: 1,
  ERR_UNEXPECTED: 1,
} as const satisfies Record<string, ExitCode>;

export type ErrorCode = keyof typeof ERROR_CODES;

/**
 * An error for a person: its message is one line that says what was expected, what came and what to
 * do. It is printed without a stack trace. Any other error that reaches the top is a defect, and is
 * printed with one.
 */
export class SpegelError extends Error {
  readonly code: ErrorCode;
  override readonly name = 'SpegelError';

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get exitCode(): ExitCode {
    return ERROR_CODES[this.code];
  }
}

/** The message of anything thrown, for a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node error (`ENOENT`, `ECONNRESET`), or undefined. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
