import { LOG_LEVELS } from '../../lib/base/log.ts';
import { single, toggle } from './option.ts';
import { oneOf } from './values.ts';

/** The heading in the help text of options that many commands have. */
export const GENERAL_GROUP = 'General:';

/** For commands that do something once and report it. */
export const JSON_OUTCOME = toggle({
  flag: '--json',
  env: undefined,
  group: GENERAL_GROUP,
  help: 'print the outcome as one JSON object',
  fallback: 'false',
});

/**
 * Options of the commands that Go Spegel has, too. They may also stand in front of a command, as
 * there.
 */
export const COMMON_OPTIONS = {
  logLevel: single({
    flag: '--log-level',
    placeholder: 'level',
    choices: LOG_LEVELS,
    group: GENERAL_GROUP,
    help: 'least severe lines that are logged or said: DEBUG, INFO, WARN, ERROR',
    fallback: 'INFO',
    parse: oneOf(LOG_LEVELS),
  }),
} as const;
