/** What strangers try, a flood each: programs on a host of their own, and what they show of it. */
import { join } from 'node:path';
import { blobPath, digestsOf } from '../../lab/fleet/fleet.ts';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';
import type { Layout } from '../../lab/images/images.ts';
import type { NetHost } from '../../lab/network/nethost.ts';
import type { Service } from '../../lab/processes/service.ts';
import { lastLine, startProgram } from './programs.ts';
import type { Strange, StrangeTally } from './stranger.ts';
import type { PeerTally } from './stranger-peer.ts';

export const NAMES_FILTERED = '^[^/]*/(([a-z])+.)+[A-Z]([a-z])+$';
/** No registry of this name was ever asked for by the victim's containerd. */
export const INVENTED_REGISTRY = 'invented.example';
const ROUTER = 5001;
const HELD = 256;
const BEGUN = 200;
/** C0, C1 and what draws on a terminal. */
const CONTROLS = '\u001b[31m\u0007\u009b1m\u0085\u007f';

export interface Stage {
  readonly lab: Lab;
  readonly victim: LabHost;
  readonly stranger: NetHost;
  /** Addresses of the stranger's host. */
  readonly addresses: readonly string[];
  /** In the victim's store. */
  readonly here: Layout;
  /** What the victim pulls meanwhile. */
  readonly pulled: readonly Layout[];
}

/** A program of an attack, and whether it has done something yet. */
interface Attacker {
  readonly service: Service;
  readonly isAt: () => Promise<boolean>;
}

export type Flood = (stage: Stage) => Attacker[];

const endpoint = ({ victim }: Stage, port = ROUTER) => `${victim.address}:${port}`;

function questions(stage: Stage, mode: string): Attacker {
  const program = join('..', 'routing', 'dht', 'flood-process');
  const service = startProgram(stage.lab, stage.stranger, program, [endpoint(stage), mode]);
  return { service, isAt: async () => ((await lastLine<number>(service)) ?? 0) > BEGUN };
}

function peer(stage: Stage, mode: string, given: readonly string[] = [], begun = 1): Attacker {
  const args = [endpoint(stage), mode, JSON.stringify(given)];
  const service = startProgram(stage.lab, stage.stranger, 'stranger-peer', args);
  return { service, isAt: async () => ((await lastLine<PeerTally>(service))?.done ?? 0) >= begun };
}

function strange(
  { lab, stranger, victim, addresses }: Stage,
  rest: Omit<Strange, 'host' | 'from'>,
  from: readonly string[] = addresses.slice(0, 1),
): Attacker {
  const strange: Strange = { host: victim.address, from, ...rest };
  const service = startProgram(lab, stranger, 'stranger', [JSON.stringify(strange)]);
  const made = async () => (await lastLine<StrangeTally>(service))?.made ?? 0;
  const all = rest.connections.reduce((sum, { count }) => sum + count, 0);
  return { service, isAt: async () => (await made()) >= Math.min(BEGUN, all) };
}

const ask = (path: string, ...fields: string[]) =>
  `${['GET', path, 'HTTP/1.1'].join(' ')}\r\n${['Host: localhost', ...fields].join('\r\n')}\r\n\r\n`;

function idle(stage: Stage, from: readonly string[]): Attacker {
  const all = [5000, 9090, 5002].map((port) => ({ port, count: HELD, request: '' }));
  return strange(stage, { connections: all }, from);
}

/** By the name that the table has. */
export const FLOODS: Readonly<Record<string, Flood>> = {
  'questions without a pause, answers unread': (stage) => [
    questions(stage, 'questions'),
    questions(stage, 'unread'),
    questions(stage, 'providers'),
  ],
  'records and tracker state of invented digests': (stage) => [
    questions(stage, 'records'),
    peer(stage, 'invented', [], BEGUN),
  ],
  'blobs asked as manifests': (stage) => {
    const [manifest = '', ...layers] = digestsOf(stage.here).map((digest) =>
      ask(blobPath(stage.lab, 'x/x', digest).replace('/blobs/', '/manifests/')),
    );
    const requests = [manifest, ...layers];
    const count = Math.ceil(250 / requests.length);
    return [
      strange(stage, {
        connections: requests.map((request) => ({ port: 5000, count, request })),
      }),
    ];
  },
  'idle connections and pipelining': (stage) => {
    const layer = blobPath(stage.lab, 'x/x', digestsOf(stage.here).at(-1) ?? '');
    const pipelined = ask('/v2/').repeat(16) + ask(layer).repeat(16);
    return [
      idle(stage, stage.addresses.slice(0, 1)),
      idle(stage, stage.addresses),
      strange(stage, { connections: [{ port: 5000, count: 64, request: pipelined }] }),
    ];
  },
  '256 invented peers an answer': (stage) => [
    peer(stage, 'hearsay', [`/ip4/${nowhere(stage)}/tcp/${ROUTER}`]),
  ],
  'identities that come and go': (stage) => [peer(stage, 'identities')],
  'control characters, long texts and invented registries': (stage) => {
    const [first = ''] = stage.addresses;
    const digests = stage.pulled.flatMap((image) => digestsOf(image));
    const odd = `HTTP/1.1 200 ${CONTROLS}\r\nX-Spegel-Peer: ${CONTROLS}\r\nContent-Type: ${CONTROLS}\r\nContent-Length: ${CONTROLS}\r\n\r\n`;
    const path = `/v2/${INVENTED_REGISTRY}{n}/manifests/latest?ns={n}.${INVENTED_REGISTRY}`;
    const fields = [`User-Agent: ${CONTROLS}`, `X-Spegel-Mirrored: ${CONTROLS}`];
    const escaped = `/v2/%1b%5b31m%0a/manifests/%c2%9b{n}?ns=%0d%0a{n}.${INVENTED_REGISTRY}`;
    const connections = [
      { port: 5000, count: 4, request: ask(path, ...fields), isRead: true },
      { port: 5000, count: 4, request: ask(escaped, 'X-Spegel-Mirrored: true'), isRead: true },
      { port: 5000, count: 4, request: ask(path, 'X-Long: {long}') },
      { port: 9090, count: 4, request: ask(`/${CONTROLS}`, `Host: ${CONTROLS}`), isRead: true },
      { port: 5002, count: 4, request: ask('/id?format=%1b{long}') },
    ];
    return [
      strange(stage, { connections, answers: { port: 5000, bytes: odd } }),
      peer(stage, 'texts', [CONTROLS.repeat(64), `/ip4/${first}/tcp/${ROUTER}`, ...digests]),
    ];
  },
  'names that cost a backtracking engine': (stage) => {
    const request = ask(`/v2/${'a'.repeat(200)}/manifests/latest?ns={n}.${INVENTED_REGISTRY}`);
    return [strange(stage, { connections: [{ port: 5000, count: 32, request, isRead: true }] })];
  },
};

/** An address of the lab's network that no host has. */
export const nowhere = ({ lab }: Stage) => lab.network.address(250);
