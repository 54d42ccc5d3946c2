import { escapeControls } from './printable.ts';

export const LOG_LEVELS = ['DEBUG', 'INFO', 'WARN', 'ERROR'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type LogFields = Record<string, unknown>;

/** Structured log: one JSON line per call. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Whether a line of this severity is said where `level` is the least severe one that is. */
export function isLogged(severity: LogLevel, level: LogLevel): boolean {
  return LOG_LEVELS.indexOf(severity) >= LOG_LEVELS.indexOf(level);
}

/** A logger that writes lines of `level` and above to `write` (stderr in the daemon). */
export function createLogger(level: LogLevel, write: (line: string) => void): Logger {
  const at = (own: LogLevel) => {
    if (!isLogged(own, level)) return () => {};
    return (msg: string, fields?: LogFields) => {
      const line = { time: new Date().toISOString(), level: own, msg, ...fields };
      // What JSON leaves as it is.
      write(`${escapeControls(JSON.stringify(line, serializable))}\n`);
    };
  };
  return {
    debug: at('DEBUG'),
    info: at('INFO'),
    warn: at('WARN'),
    error: at('ERROR'),
  };
}

/** An Error has no own enumerable properties: JSON would print it as `{}`. */
function serializable(_key: string, value: unknown): unknown {
  const text = value instanceof Error ? value.message : value;
  if (typeof text === 'string')
    return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return typeof value === 'bigint' ? value.toString() : value;
}

/** What peers say is in errors, too: a line of theirs must not fill the journal. */
const MAX_TEXT = 2_000;

/** A logger for code that is used without one, in tests. */
export const silentLogger: Logger = createLogger('ERROR', () => {});
