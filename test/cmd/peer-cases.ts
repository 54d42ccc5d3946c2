import type { DaemonSettings } from '../../lib/daemon.ts';

export interface Case {
  readonly flag: string;
  /** A value that is not the default, and what it makes of the settings. */
  readonly good: string;
  readonly makes: unknown;
  readonly of: (settings: DaemonSettings) => unknown;
  /** Values that must be refused, and what the message says was expected. */
  readonly bad: readonly string[];
  readonly expected: RegExp;
  readonly beside?: readonly string[];
}

const urls = ['10.0.0.1:5002', 'ftp://a', 'http://', 'http://u:p@a/id', 'http://a/id#x', 'a'];

/** One for each option that says how a node meets its peers. */
export const peerCases: readonly Case[] = [
  {
    flag: '--bootstrap-kind',
    good: 'MDNS',
    makes: ['mdns'],
    of: (s) => s.bootstrap.kinds,
    bad: ['kubernetes', 'stat'],
    expected: /expected static or dns or http or mdns/,
  },
  {
    flag: '--static-bootstrap-peers',
    good: '10.0.0.1:5001',
    makes: [{ host: '10.0.0.1', port: 5001, family: undefined, peerId: undefined }],
    of: (s) => s.bootstrap.staticPeers,
    bad: ['/ip4/nonsense/tcp/5001', '/ip4/10.0.0.1/udp/5001', '10.0.0.1:0', 'host:99999'],
    expected: /expected a multiaddr/,
  },
  {
    flag: '--static-bootstrap-peers-file',
    good: '/etc/../peers',
    makes: '/peers',
    of: (s) => s.bootstrap.staticPeersFile,
    bad: ['', 'a\0b'],
    expected: /a path/,
  },
  {
    flag: '--dns-bootstrap-domain',
    good: '_spegel._tcp.a.example:7',
    makes: { host: '_spegel._tcp.a.example', port: 7 },
    of: (s) => s.bootstrap.dnsDomain,
    bad: ['10.0.0.1', 'fd00::1', 'a b', 'a.example:0', 'a.example:', 'http://a.example', ''],
    expected: /a DNS name such as/,
  },
  {
    flag: '--http-bootstrap-addr',
    good: '127.0.0.1:7',
    makes: { host: '127.0.0.1', port: 7 },
    of: (s) => s.bootstrap.httpAddress,
    bad: ['5002', ':x', ':65536', '1.2.3:80', '::1:80', 'host.example:80', '[fe80::1%lo]:80'],
    expected: /an address such as :5000/,
    beside: ['--bootstrap-kind', 'http'],
  },
  {
    flag: '--http-bootstrap-url',
    good: 'HTTPS://A.example:7',
    makes: ['https://a.example:7/id'],
    of: (s) => s.bootstrap.httpUrls,
    bad: urls,
    expected: /a URL such as/,
  },
  {
    flag: '--http-bootstrap-peer',
    good: 'http://10.0.0.1:5002/other?format=list',
    makes: ['http://10.0.0.1:5002/other?format=list'],
    of: (s) => s.bootstrap.httpUrls,
    bad: urls,
    expected: /a URL such as/,
  },
  {
    flag: '--network-key-file',
    good: '/etc/../key',
    makes: '/key',
    of: (s) => s.networkKeyFile,
    bad: ['', 'a\0b'],
    expected: /a path/,
  },
  {
    flag: '--advertise-ttl',
    good: '1m',
    makes: 60_000,
    of: (s) => s.advertiseTtlMs,
    bad: ['10', '', '59s', '24h1s', '0', '-1m'],
    expected: /a duration/,
  },
];
