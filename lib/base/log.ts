import { MAX_LOG_TEXT_LENGTH } from './constants.ts';
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

/** True when a line of this severity is logged, where `level` is the lowest one that is. */
export function isLogged(severity: LogLevel, level: LogLevel): boolean {
  return LOG_LEVELS.indexOf(severity) >= LOG_LEVELS.indexOf(level);
}

/** A logger that writes lines of `level` and above to `write` (stderr in the daemon). */
export function createLogger(level: LogLevel, write: (line: string) => void): Logger {
  const at = (own: LogLevel) => {
    if (!isLogged(own, level)) return () => {};
    return (msg: string, fields?: LogFields) => {
      const line = { time: new Date().toISOString(), level: own, msg, ...fields };
      // JSON leaves some control characters as they are.
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
    return text.length > MAX_LOG_TEXT_LENGTH ? `${text.slice(0, MAX_LOG_TEXT_LENGTH)}…` : text;
  return typeof value === 'bigint' ? value.toString() : value;
}

/** A logger that drops every line, for tests. */
export const silentLogger: Logger = createLogger('ERROR', () => {});
