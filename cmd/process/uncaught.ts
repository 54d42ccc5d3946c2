import { codeOf, messageOf, SpegelError } from '../../lib/base/errors.ts';
import type { Logger } from '../../lib/base/log.ts';
import type { Context } from './command.ts';

/** What a peer or the network can do to a socket at any time; none of it says that this program is wrong. */
const CODES: readonly string[] = [
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNABORTED',
];
const SYSCALLS: readonly string[] = ['connect', 'read', 'write'];

/**
 * True for the error of a single socket that a library let escape: libp2p's TCP transport does when a
 * connection is reset before its handlers are in place. The connection is lost, nothing else is, and a
 * daemon must outlive it. Anything else that nobody caught is a defect, and must not be survived.
 */
export function isEscapedSocketError(error: unknown): boolean {
  // Node tries the addresses of a name in turn and throws what became of each.
  if (error instanceof AggregateError) {
    return error.errors.length > 0 && error.errors.every(isSocketError);
  }
  return isSocketError(error);
}

/**
 * Installs the last resort of a daemon for errors that nobody caught, rejected promises among them: a lost
 * connection is logged and survived, anything else ends the process with a line in the log and status 1.
 */
export function surviveSocketErrors(context: Pick<Context, 'events' | 'exit'>, log: Logger): void {
  context.events.on('uncaughtException', (error) => {
    if (isEscapedSocketError(error)) {
      log.warn('a connection was lost outside of its handlers', { error, code: codeOf(error) });
      return;
    }
    const isDefect = error instanceof Error && !(error instanceof SpegelError);
    log.error('unexpected error, ending', { error: isDefect ? error.stack : messageOf(error) });
    context.exit(1);
  });
}

function isSocketError(error: unknown): boolean {
  if (!(error instanceof Error) || !('syscall' in error)) return false;
  return CODES.includes(codeOf(error) ?? '') && SYSCALLS.includes(String(error.syscall));
}
