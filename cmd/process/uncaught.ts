import { codeOf, messageOf, SpegelError } from '../../lib/base/errors.ts';
import type { Logger } from '../../lib/base/log.ts';
import type { Context } from './command.ts';

/**
 * What a peer or the network can do to a socket at any time. None of these errors is a defect of
 * this program.
 */
const SOCKET_CODES: readonly string[] = [
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNABORTED',
];
const SOCKET_SYSCALLS: readonly string[] = ['connect', 'read', 'write'];

/**
 * Whether an error belongs to a single socket and a library did not catch it: libp2p's TCP
 * transport fails to when a connection is reset before its handlers are in place. Only that
 * connection is lost, and the daemon goes on. Any other uncaught error is a defect, and ends the
 * process.
 */
export function isEscapedSocketError(error: unknown): boolean {
  // Node tries the addresses of a name in turn and throws all their errors together.
  if (error instanceof AggregateError) {
    return error.errors.length > 0 && error.errors.every(isSocketError);
  }
  return isSocketError(error);
}

/**
 * Handles the uncaught errors and rejections of a daemon: a lost connection is logged, and anything
 * else is logged and ends the process with status 1.
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
  return (
    SOCKET_CODES.includes(codeOf(error) ?? '') && SOCKET_SYSCALLS.includes(String(error.syscall))
  );
}
