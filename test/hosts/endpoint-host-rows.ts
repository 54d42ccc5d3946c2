/** Rows about single hosts of a hosts.toml: what they may do, their URLs, their headers. */
import {
  BEFORE_2_0,
  type EndpointRow,
  FROM_2_0,
  host,
  ITSELF,
  PLAIN,
  PLAIN_2,
  row,
} from './endpoint-row.ts';

export const CAPABILITIES: readonly EndpointRow[] = [
  host('capabilities as k3s writes them', PLAIN, 'capabilities = ["pull", "resolve", "push"]', [
    `${PLAIN}/v2 ns`,
  ]),
  host('in any letters', PLAIN, 'capabilities = ["Pull", "RESOLVE"]', [`${PLAIN}/v2 ns`]),
  host('empty: all', PLAIN, 'capabilities = []', [`${PLAIN}/v2 ns`]),
  host(
    'one that only pulls is not asked for tags (docs: Private Mirror)',
    PLAIN,
    'capabilities = ["pull"]',
    [],
  ),
  host('one that only resolves is not, either', PLAIN, 'capabilities = ["resolve"]', []),
  host('one that only pushes', PLAIN, 'capabilities = ["push"]', []),
  host(
    'referrers, which rejects the file before 2.2',
    PLAIN,
    'capabilities = ["pull", "resolve", "referrers"]',
    [`${PLAIN}/v2 ns`],
    {
      lacks: { ...BEFORE_2_0(PLAIN), '2.1': [PLAIN] },
    },
  ),
  host('an unknown one rejects the file', PLAIN, 'capabilities = ["pull", "resolve", "dance"]', []),
  host('so does a text in place of a list', PLAIN, 'capabilities = "pull"', []),
  host('and what is no text', PLAIN, 'capabilities = [1]', []),
  row('an unknown one of the root, too', `capabilities = ["dance"]\n[host."${PLAIN}"]\n`, [ITSELF]),
];

export const PATHS: readonly EndpointRow[] = [
  ['/', '/v2'],
  ['/v2', '/v2'],
  ['/v2/', '/v2'],
  ['/V2', '/V2/v2'],
  ['/proxy', '/proxy/v2'],
  ['/proxy/v2', '/proxy/v2'],
  ['/v2/proxy', '/v2/proxy/v2'],
  ['/foov2', '/foov2/v2'],
  ['//a//b/../c', '/a/c/v2'],
  ['/a%20b', '/a%20b/v2'],
  ['/q?x=1#y', '/q/v2'],
].map(([path, asked]) => host(`path ${path}`, `${PLAIN}${path}`, '', [`${PLAIN}${asked} ns`]));

export const OVERRIDDEN: readonly EndpointRow[] = [
  ['', ''],
  ['/', ''],
  ['/v2', '/v2'],
  ['/v2/proxy', '/v2/proxy'],
  ['/v2/proxy/', '/v2/proxy'],
].map(([path, asked]) =>
  host(`overridden path ${path}`, `${PLAIN}${path}`, 'override_path = true', [
    `${PLAIN}${asked} ns`,
  ]),
);

export const URLS: readonly EndpointRow[] = [
  host('without a scheme: https', 'reg.test:5443', '', ['https://reg.test:5443/v2 ns']),
  host('a user is not sent', 'http://user:pw@127.0.0.1:5101', '', [`${PLAIN}/v2 ns`]),
  host('letters of the host count for ns', 'https://REG.test', '', ['https://REG.test/v2 ns']),
  row(
    'IPv6, whose brackets reject the file before 2.0',
    `server = "${PLAIN}"\n[host."http://[::1]:5103"]\n`,
    ['http://[::1]:5103/v2 ns', `${PLAIN}/v2 ns`, ITSELF],
    { lacks: { ...BEFORE_2_0('ns='), ...FROM_2_0('https://') } },
  ),
  host('no host', 'httpbin.test:5101', '', []),
  host('an empty name', '', '', []),
  host('a port that is no number rejects the file', 'http://127.0.0.1:port', '', []),
  row('so does a bad escape', `[host."${PLAIN}/%zz"]\n[host."${PLAIN_2}"]\n`, [ITSELF]),
  host('ourselves by a loopback name', 'http://localhost:5000', '', []),
  host('ourselves by an address of this host', 'http://$ADDR:5000', '', []),
  row(
    'any number of hosts, in order, none twice',
    `${[5101, 5102, 5104, 5105, 5106, 5107, 5108, 5109, 5110, 5111].map((port) => `[host."http://127.0.0.1:${port}"]`).join('\n')}\n[host."${PLAIN}/"]\n`,
    [
      ...[5101, 5102, 5104, 5105, 5106, 5107, 5108, 5109, 5110, 5111].map(
        (port) => `http://127.0.0.1:${port}/v2 ns`,
      ),
      ITSELF,
    ],
  ),
];

export const HEADERS: readonly EndpointRow[] = [
  host(
    'headers: texts and lists',
    PLAIN,
    `[host."${PLAIN}".header]\nX-Lab = "a"\nx-lab-list = ["b", "c"]\nAuthorization = "Basic eDp5"`,
    [`${PLAIN}/v2 ns Authorization=Basic eDp5 X-Lab=a x-lab-list=b,c`],
  ),
  host("inside of the host's own table", PLAIN, 'header = { x-lab = "é" }', [
    `${PLAIN}/v2 ns x-lab=é`,
  ]),
  host(
    'Host and lengths are not sent',
    PLAIN,
    `[host."${PLAIN}".header]\nHost = "other"\nContent-Length = "5"\nx-lab = "a"`,
    [`${PLAIN}/v2 ns x-lab=a`],
  ),
  host('a number rejects the file', PLAIN, `[host."${PLAIN}".header]\nx-lab = 1`, []),
  host(
    'a name that HTTP has not: the host cannot be asked',
    PLAIN,
    `[host."${PLAIN}".header]\n"x lab" = "a"`,
    [],
  ),
  host('nor with a line in a value', PLAIN, `[host."${PLAIN}".header]\nx-lab = "a\\nb"`, []),
];
