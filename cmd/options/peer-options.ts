import { list, optional, single } from './option.ts';
import {
  durationBetween,
  oneOf,
  parseBootstrapUrl,
  parseDnsDomain,
  parseListenAddressOrNone,
  parsePath,
} from './values.ts';

const PEERS = 'Peers:';
const BOOTSTRAP_KINDS = ['static', 'dns', 'http', 'mdns'] as const;

/** How a node finds its peers, and which peers it accepts. */
export const PEER_OPTIONS = {
  bootstrapKind: list({
    flag: '--bootstrap-kind',
    placeholder: 'kind',
    choices: BOOTSTRAP_KINDS,
    group: PEERS,
    help: 'how the first peers are found, several together: static, dns, http, mdns',
    fallback: 'static',
    parse: oneOf(BOOTSTRAP_KINDS),
  }),
  staticBootstrapPeers: list({
    flag: '--static-bootstrap-peers',
    placeholder: 'peer',
    group: PEERS,
    help: 'first peers: host:port, or a multiaddr such as /ip4/10.0.0.1/tcp/5001',
    // The daemon's own parser comes with libp2p, which help must not load: the registry command
    // adds it.
    parse: (text) => text,
  }),
  staticBootstrapPeersFile: optional({
    flag: '--static-bootstrap-peers-file',
    placeholder: 'path',
    group: PEERS,
    help: 'file of more first peers, one a line; read again when it changes',
    parse: parsePath,
  }),
  dnsBootstrapDomain: optional({
    flag: '--dns-bootstrap-domain',
    placeholder: 'name',
    group: PEERS,
    help: 'name[:port] whose A, AAAA and SRV records are first peers, for --bootstrap-kind dns',
    parse: parseDnsDomain,
  }),
  httpBootstrapAddr: single({
    flag: '--http-bootstrap-addr',
    placeholder: 'address',
    group: PEERS,
    help: 'where /id tells how to reach this node, for --bootstrap-kind http; empty: nowhere',
    fallback: ':5002',
    emptyCounts: true,
    parse: parseListenAddressOrNone,
  }),
  httpBootstrapUrl: list({
    flag: '--http-bootstrap-url',
    placeholder: 'url',
    group: PEERS,
    help: 'where the /id of first peers is asked, for --bootstrap-kind http',
    parse: parseBootstrapUrl,
  }),
  httpBootstrapPeer: list({
    flag: '--http-bootstrap-peer',
    placeholder: 'url',
    group: PEERS,
    help: 'other name of --http-bootstrap-url, as in Go Spegel',
    parse: parseBootstrapUrl,
  }),
  networkKeyFile: optional({
    flag: '--network-key-file',
    placeholder: 'path',
    group: PEERS,
    help: 'file of the key that closes the network to hosts without it; a second key is accepted, too',
    // A variable that should hold a path must not open the network by being empty.
    emptyCounts: true,
    parse: parsePath,
  }),
  advertiseTtl: single({
    flag: '--advertise-ttl',
    placeholder: 'duration',
    group: PEERS,
    help: 'how long peers offer what this host has announced, unless it announces it again: 1m to 24h',
    fallback: '10m',
    parse: durationBetween(60_000, 86_400_000),
  }),
} as const;
