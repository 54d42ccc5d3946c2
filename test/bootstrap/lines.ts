import { createLogger, type Logger } from '../../lib/base/log.ts';

export interface Line {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A logger and the lines that it wrote. */
export function logLines(): { log: Logger; lines: Line[] } {
  const lines: Line[] = [];
  return { log: createLogger('INFO', (line) => lines.push(JSON.parse(line))), lines };
}
