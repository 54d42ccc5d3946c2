import { messageOf } from '../../lib/base/errors.ts';
import type { Part } from '../../lib/base/lifecycle.ts';
import type { Logger } from '../../lib/base/log.ts';
import type { ExitStatus, ProcessEvents } from './command.ts';

const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Runs the daemon until SIGTERM or SIGINT, then stops it and returns status 0. A stop lets running
 * transfers finish for a time that the daemon sets. A second signal cuts them: status 1. A daemon
 * that cannot start is stopped, and its error thrown. SIGHUP calls `reload`.
 */
export async function runDaemon(
  daemon: Part,
  log: Logger,
  events: ProcessEvents,
  reload: () => void = () => {},
): Promise<ExitStatus> {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let received = 0;
  const onSignal = () => {
    received += 1;
    if (received > 1) second.resolve();
    else first.resolve();
  };
  // Installed before the start: a signal without a listener ends the process.
  const onReload = () => {
    log.info('reloading');
    try {
      reload();
    } catch (error) {
      log.error('reloading failed', { error: messageOf(error) });
    }
  };
  for (const name of STOP_SIGNALS) events.on(name, onSignal);
  events.on('SIGHUP', onReload);
  const atOnce = second.promise.then((): ExitStatus => {
    log.warn('second signal, not waiting for running transfers');
    return 1;
  });
  try {
    return await Promise.race([serve(daemon, log, first.promise), atOnce]);
  } finally {
    for (const name of STOP_SIGNALS) events.off(name, onSignal);
    events.off('SIGHUP', onReload);
  }
}

async function serve(daemon: Part, log: Logger, stopAsked: Promise<void>): Promise<ExitStatus> {
  // Only the start is aborted: a serving daemon drains its transfers, which its signal must not
  // cut.
  const starting = new AbortController();
  let isStarted = false;
  const stopping = stopAsked.then(() => {
    log.info('stopping');
    if (!isStarted) starting.abort(new Error('stopped while starting'));
  });
  try {
    await daemon.start(starting.signal);
    isStarted = true;
    await stopping;
  } catch (error) {
    if (!starting.signal.aborted) throw error;
  } finally {
    await daemon.stop();
  }
  return 0;
}
