import { stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { codeOf, SpegelError } from '../base/errors.ts';
import { SOCKET_CONNECT_MS } from './constants.ts';

/**
 * Checks the path of containerd's socket. It may be missing or have no listener: containerd may
 * start later. Throws ERR_SOCKET if waiting cannot help, because the path is something else or this
 * user may not use it.
 */
export async function checkSocket(path: string): Promise<void> {
  try {
    const stats = await stat(path);
    if (!stats.isSocket()) {
      const came = stats.isDirectory() ? 'a directory' : 'a file that is no socket';
      throw new SpegelError(
        'ERR_SOCKET',
        `expected containerd's socket at ${path}, found ${came}; give its path with --containerd-sock`,
      );
    }
    await tryToConnect(path);
  } catch (error) {
    if (error instanceof SpegelError) throw error;
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'EAGAIN') return;
    throw new SpegelError(
      'ERR_SOCKET',
      `expected to read and write containerd's socket ${path}, got ${code}; ${adviceFor(code)}`,
      { cause: error },
    );
  }
}

/**
 * Connects, because only the kernel knows the permission. `access` checks the real user, not the
 * effective one.
 */
function tryToConnect(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const done = () => {
      socket.destroy();
      resolve();
    };
    socket.setTimeout(SOCKET_CONNECT_MS, done);
    socket.once('connect', done);
    socket.once('error', reject);
  });
}

function adviceFor(code: string | undefined): string {
  return code === 'EACCES' || code === 'EPERM'
    ? 'run as root or as a member of the group that owns the socket'
    : 'give its path with --containerd-sock';
}
