import { get, type IncomingMessage } from 'node:http';
import { formatHostPort, isUnspecified, type ListenAddress } from '../../base/address.ts';
import { messageOf } from '../../base/errors.ts';
import { PEER_HEADER } from '../../base/spegel-headers.ts';
import { DAEMON_TIMEOUT_MS, MAX_DAEMON_ANSWER_BYTES, MAX_TRIED_ADDRESSES } from './constants.ts';

/** A peer that the daemon is connected to: `host:port` of its router and of its registry. */
export interface MetPeer {
  readonly peerId: string;
  readonly router: readonly string[];
  readonly registry: readonly string[];
}

/** What the running daemon reports. */
export interface DaemonStatus {
  /** The number of peers in its routing table; undefined: not reported. */
  readonly peers: number | undefined;
  /** Some of the peers. */
  readonly met: readonly MetPeer[];
  /** Whether another host with its identity was seen; undefined: not reported. */
  readonly isIdentityShared: boolean | undefined;
}

/** Asks the daemon at its metrics address. Rejects if no daemon answers there. */
export async function readDaemonStatus(
  { host, port }: ListenAddress,
  signal: AbortSignal,
): Promise<DaemonStatus> {
  const isAny = host === '' || isUnspecified(host);
  const at = formatHostPort(isAny ? (host === '::' ? '::1' : '127.0.0.1') : host, port);
  const metrics = await bodyOf(`http://${at}/metrics`, signal);
  const gauge = (name: string) => {
    const text = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(metrics)?.[1];
    return text === undefined ? undefined : Number(text);
  };
  const conflict = gauge('spegel_identity_conflict');
  return {
    peers: gauge('spegel_peers'),
    isIdentityShared: conflict === undefined ? undefined : conflict > 0,
    // Earlier releases have no such page.
    met: await bodyOf(`http://${at}/peers`, signal)
      .then(parsePeers)
      .catch(() => {
        signal.throwIfAborted();
        return [];
      }),
  };
}

function parsePeers(text: string): MetPeer[] {
  const { peers } = JSON.parse(text) as { peers: MetPeer[] };
  return peers.map(({ peerId, router, registry }) => ({
    peerId: String(peerId),
    router: router.slice(0, MAX_TRIED_ADDRESSES).map(String),
    registry: registry.slice(0, MAX_TRIED_ADDRESSES).map(String),
  }));
}

/**
 * The body of an answer with status 200. Rejects for another status, silence and a body without
 * end.
 */
function bodyOf(url: string, signal: AbortSignal): Promise<string> {
  return readAnswer(url, signal, async (response) => {
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode} from ${url}`);
    let body = '';
    response.setEncoding('utf8');
    for await (const text of response) {
      body += text;
      if (body.length > MAX_DAEMON_ANSWER_BYTES) throw new Error(`too long an answer from ${url}`);
    }
    return body;
  });
}

/**
 * The peer id that a registry's URL answers with; undefined: the answer has none. Rejects if
 * nothing answers.
 */
export function peerAtRegistry(url: string, signal: AbortSignal): Promise<string | undefined> {
  return readAnswer(url, signal, async ({ headers }) =>
    headers[PEER_HEADER.toLowerCase()]?.toString(),
  );
}

/** Reads an answer that comes in time. Rejects in words for a person. */
async function readAnswer<T>(
  url: string,
  signal: AbortSignal,
  read: (response: IncomingMessage) => Promise<T>,
): Promise<T> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(DAEMON_TIMEOUT_MS)]);
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      // The listener stays: a failure after the head comes here, too.
      const request = get(url, { agent: false, signal: within }, resolve).on('error', reject);
      // Node reports neither an answer nor an error for status 101, which no upgrade asked for.
      request.on('close', () => reject(new Error(`no HTTP answer from ${url}`)));
    });
    try {
      return await read(response);
    } finally {
      response.destroy();
    }
  } catch (error) {
    signal.throwIfAborted();
    throw new Error(within.aborted ? `no answer from ${url}` : messageOf(error), { cause: error });
  }
}
