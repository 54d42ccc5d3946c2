import { lookup } from 'node:dns/promises';
import { connect, isIP } from 'node:net';
import { delay, untilAborted } from '../../base/abortable.ts';
import { formatHostPort, type HostPort, parseHostPort } from '../../base/address.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { localAddresses } from '../../port/local-addresses.ts';
import { advice, type Finding, note } from '../system/finding.ts';
import { ENVIRONMENT_FILE } from '../system/layout.ts';
import type { Listener } from '../system/socket-unit.ts';
import type { UnitState } from '../system/systemctl.ts';
import {
  DIAL_TIMEOUT_MS,
  FIRST_PEER_POLL_MS,
  FIRST_PEER_TIMEOUT_MS,
  MAX_DIALLED_PEERS,
  YOUNG_DAEMON_MS,
} from './constants.ts';
import { type DaemonStatus, type MetPeer, readDaemonStatus } from './daemon-status.ts';

/** The first peers that the settings name. */
export interface FirstPeers {
  /** The addresses of routers; this host may be among them. */
  readonly listed: readonly HostPort[];
  /**
   * Other sources of first peers, as settings that a person can read:
   * `DNS_BOOTSTRAP_DOMAIN=spegel.example.com`.
   */
  readonly ways: readonly string[];
}

export interface PeerSettings {
  readonly metrics: Listener;
  readonly router: Listener;
  readonly first: FirstPeers;
  /** Whether this host has the key of a closed network. */
  readonly isClosed: boolean;
}

/** What the running daemon and the network tell of its peers. Only for an active service. */
export async function peerFindings(
  settings: PeerSettings,
  state: UnitState,
  signal: AbortSignal,
): Promise<Finding[]> {
  const { metrics, router, first } = settings;
  if (metrics.port === 0) return [];
  const listed = await otherHosts(first.listed, router.port, signal);
  const isAlone = listed.length === 0 && first.ways.length === 0;
  let status: DaemonStatus;
  try {
    status = await statusWithPeers(metrics, isAlone ? undefined : state, signal);
  } catch (error) {
    signal.throwIfAborted();
    const text = `expected spegel.service to answer on ${metrics.option}=${formatHostPort(metrics.host, metrics.port)}, got: ${messageOf(error)}; which peers it has is unknown`;
    return [advice('metrics', text, ['journalctl -u spegel', 'systemctl restart spegel'])];
  }
  return [
    ...identityFindings(status),
    ...(status.peers === 0 ? [noPeerFinding(isAlone, listed, settings)] : []),
    ...(await reachFindings(listed, status.met, signal)),
  ];
}

/** The daemon's status, as soon as it has a peer: it may have just started. */
async function statusWithPeers(
  metrics: Listener,
  state: UnitState | undefined,
  signal: AbortSignal,
): Promise<DaemonStatus> {
  const began = performance.now();
  const since = Date.parse(state?.since ?? '');
  const isYoung = Date.now() - since < YOUNG_DAEMON_MS;
  for (;;) {
    const status = await readDaemonStatus(metrics, signal);
    if (status.peers !== 0 || !isYoung || performance.now() - began > FIRST_PEER_TIMEOUT_MS)
      return status;
    await delay(FIRST_PEER_POLL_MS, signal);
  }
}

function identityFindings({ isIdentityShared }: DaemonStatus): Finding[] {
  if (isIdentityShared !== true) return [];
  const text =
    "expected no other host with this host's identity, got one: it was cloned with /var/lib/spegel, and the two never meet; the log names its address. On one of them make a new identity";
  return [
    advice('identity', text, [
      'systemctl stop spegel',
      'rm /var/lib/private/spegel/private.key',
      'systemctl start spegel',
    ]),
  ];
}

function noPeerFinding(
  isAlone: boolean,
  listed: readonly HostPort[],
  { first: { ways }, isClosed }: PeerSettings,
): Finding {
  if (isAlone) {
    const text =
      'no peer is named and none has come: this host shares with nobody yet; to name some, spegel install --static-bootstrap-peers=…';
    return note('peers', text);
  }
  const named = [...listed.map(({ host, port }) => formatHostPort(host, port)), ...ways];
  const key = isClosed
    ? 'they have another network key (NETWORK_KEY_FILE) or none'
    : 'they are in a closed network';
  const text = `expected at least one peer, got none; named are ${named.join(', ')}. Where their ports answer, ${key}, or they have this host's identity; 'journalctl -u spegel' has the reason`;
  return advice('peers', text, ['journalctl -u spegel --grep problem']);
}

/** The listed peers that are other hosts. A name that does not resolve counts as another host. */
async function otherHosts(
  listed: readonly HostPort[],
  ownPort: number,
  signal: AbortSignal,
): Promise<HostPort[]> {
  const isOwn = await Promise.all(
    listed.map(async ({ host, port }) => {
      if (port !== ownPort) return false;
      const ips = isIP(host) === 0 ? await addressesOf(host, signal) : [host];
      return ips.length > 0 && ips.every((ip) => isLocal(ip));
    }),
  );
  return listed.filter((_, index) => !isOwn[index]);
}

const isLocal = (host: string) =>
  localAddresses(new URL(`http://${formatHostPort(host, 1)}`)).length > 0;

async function addressesOf(name: string, signal: AbortSignal): Promise<string[]> {
  if (isLocal(name)) return ['127.0.0.1'];
  const within = AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]);
  try {
    const found = await untilAborted(lookup(name, { all: true }), within);
    return found.map(({ address }) => address);
  } catch {
    signal.throwIfAborted();
    return [];
  }
}

/** One port of a peer. It is reachable if one of its addresses accepts a connection. */
interface PeerPort {
  readonly what: 'router' | 'registry';
  readonly addresses: readonly string[];
}

/** Dials the named peers first: the daemon knows already that the others live. */
async function reachFindings(
  listed: readonly HostPort[],
  met: readonly MetPeer[],
  signal: AbortSignal,
): Promise<Finding[]> {
  const named = listed.map(({ host, port }) => formatHostPort(host, port));
  const unmet = named.filter((one) => !met.some(({ router }) => router.includes(one)));
  const isNamed = ({ router }: MetPeer) => router.some((one) => named.includes(one));
  const sorted = [...met.filter(isNamed), ...met.filter((peer) => !isNamed(peer))];
  const peerPorts: PeerPort[][] = [
    ...unmet.map((address): PeerPort[] => [{ what: 'router', addresses: [address] }]),
    ...sorted.map(({ router, registry }): PeerPort[] => [
      { what: 'router', addresses: router },
      { what: 'registry', addresses: registry },
    ]),
  ];
  const dialled = peerPorts
    .slice(0, MAX_DIALLED_PEERS)
    .flat()
    .filter(({ addresses }) => addresses.length > 0);
  const found = await Promise.all(dialled.map((peerPort) => peerPortFindings(peerPort, signal)));
  return found.flat();
}

async function peerPortFindings(
  { what, addresses }: PeerPort,
  signal: AbortSignal,
): Promise<Finding[]> {
  const problems = await Promise.all(addresses.map((address) => dial(address, signal)));
  if (problems.some((problem) => problem === undefined)) return [];
  const [address = ''] = addresses;
  const port = parseHostPort(address)?.port ?? 0;
  const [problem = ''] = problems;
  const mend = /^(?:EAI_|ENOTFOUND)/.test(problem)
    ? 'no address is known for that name: mend its record'
    : `let TCP ${port} through between the two hosts`;
  const text = `expected the ${what} of a peer to be reached at ${addresses.join(' or ')}, got ${problem}; ${mend}, or take a peer that is gone out of ${ENVIRONMENT_FILE}`;
  return [advice('peer-port', text, [`curl -v --max-time 2 telnet://${address}`])];
}

/** Why no connection is accepted there; undefined: one is. */
function dial(address: string, signal: AbortSignal): Promise<string | undefined> {
  const { host, port } = parseHostPort(address) ?? { host: '', port: 0 };
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const end = (problem: string | undefined) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(problem);
    };
    const onAbort = () => {
      reject(signal.reason);
      end(undefined);
    };
    const timer = setTimeout(
      () => end(`no answer within ${DIAL_TIMEOUT_MS / 1_000} s`),
      DIAL_TIMEOUT_MS,
    );
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => end(undefined));
    socket.on('error', (error) => end(codeOf(error) ?? messageOf(error)));
  });
}
