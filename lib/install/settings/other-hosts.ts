import { createSocket } from 'node:dgram';
import { hostname } from 'node:os';
import { formatHostPort } from '../../base/address.ts';
import type { Variables } from '../../proxy/go-proxy.ts';
import { flagOf, shellWord } from '../system/finding.ts';

/** Settings by which a further host finds its first peers. */
const WAYS_TO_PEERS = [
  'BOOTSTRAP_KIND',
  'STATIC_BOOTSTRAP_PEERS',
  'DNS_BOOTSTRAP_DOMAIN',
  'HTTP_BOOTSTRAP_URL',
];
/** An address of the documentation (RFC 5737). Nothing is sent there. */
const SOMEWHERE = '192.0.2.1';

/** The command by which another host reads this host's file, as the left part of a pipe. */
export async function fetchCommand(path: string, settings: Variables): Promise<string> {
  return `ssh root@${await ownAddress(settings)} cat ${shellWord(path)}`;
}

/** The command by which another host joins the network with the key at `path`. */
export async function joinCommand(
  path: string,
  settings: Variables,
  { isNew, routerPort }: { readonly isNew: boolean; readonly routerPort: number },
): Promise<string> {
  const fetch = await fetchCommand(path, settings);
  if (!isNew) return `${fetch} | spegel install --network-key-file=-`;
  const ways = WAYS_TO_PEERS.filter((name) => settings[name]);
  const peer = formatHostPort(await ownAddress(settings), routerPort);
  const words =
    ways.length === 0
      ? [`--static-bootstrap-peers=${peer}`]
      : ways.map((name) => `${flagOf(name)}=${settings[name]}`);
  // A host without an installation calls the executable in the directory of the archive.
  return `${fetch} | ./spegel install --network-key-file=- ${words.map(shellWord).join(' ')}`;
}

/**
 * The address that peers get: the configured one, that of the default route, or the host's name.
 */
async function ownAddress({ ADVERTISE_ADDRESS }: Variables): Promise<string> {
  const [told] = ADVERTISE_ADDRESS?.split(/[\s,]+/).filter((word) => word !== '') ?? [];
  return told ?? (await routeAddress()) ?? hostname();
}

/** Connecting a UDP socket sends nothing: the kernel chooses a route, and with it the address. */
function routeAddress(): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const end = (address: string | undefined) => {
      socket.close();
      resolve(address);
    };
    socket.once('error', () => end(undefined));
    socket.connect(9, SOMEWHERE, () => end(socket.address().address));
  });
}
