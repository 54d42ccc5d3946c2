/**
 * What stands in a certs.d, and where containerd asks for a tag then: held against our reading in process
 * (registry-endpoints.test.ts) and against real containerd (hosts-toml-read.test.ts, in e2e/).
 */
import { directory, file, type Tree } from './tree.ts';

export interface EndpointRow {
  readonly name: string;
  readonly registry: string;
  /** Below certs.d. In texts `$ADDR` stands for an address of this host, `$CERTS` for a directory of certificates. */
  readonly files: Tree;
  /**
   * How we read it: one line for each place that is asked for a tag, without this daemon. Behind the URL stands what
   * goes with it: `ns`, `or-http` (where no TLS is spoken), `skip` (no verification), `ca=`, `client=`, headers.
   */
  readonly asks: readonly string[];
  /** By version of containerd: parts of the requests that this one, as we know, does not send. */
  readonly lacks?: Readonly<Record<string, readonly string[]>>;
}

/** A registry that speaks TLS which the system trusts, at ports 443 and 5443. */
const REG = 'reg.test';
const ITSELF = 'https://reg.test/v2';
/** Hosts without TLS at 127.0.0.1. */
const PLAIN = 'http://127.0.0.1:5101';
const PLAIN_2 = 'http://127.0.0.1:5102';
/** A host with TLS that nobody trusts unless told, and that knows its clients by their certificates. */
const PRIVATE = 'https://127.0.0.1:6443';
/** Every request. */
const ALL = [''];
const BEFORE_2_0 = (...parts: readonly string[]) => ({ '1.6': parts, '1.7': parts });
const FROM_2_0 = (...parts: readonly string[]) => ({
  '2.1': parts,
  '2.2': parts,
  '2.3': parts,
  '2.4': parts,
});
const EVERY = { ...BEFORE_2_0(...ALL), ...FROM_2_0(...ALL) };

/** A row about one hosts.toml of REG. */
function row(
  name: string,
  text: string,
  asks: readonly string[],
  more: Partial<EndpointRow> = {},
): EndpointRow {
  return { name, registry: REG, files: { 'reg.test/hosts.toml': file(text) }, asks, ...more };
}

/** A row about one host of a hosts.toml, asked before the registry itself. */
function host(
  name: string,
  url: string,
  table: string,
  asked: readonly string[],
  more: Partial<EndpointRow> = {},
): EndpointRow {
  return row(name, `[host."${url}"]\n${table}\n`, [...asked, ITSELF], more);
}

const DIRECTORIES: readonly EndpointRow[] = [
  { name: 'nothing at all', registry: REG, files: {}, asks: [ITSELF] },
  {
    name: 'Docker Hub has another name in references',
    registry: 'docker.io',
    files: {},
    asks: ['https://registry-1.docker.io/v2'],
  },
  {
    name: 'Docker Hub under its own name is another host (docs: Simple Host Config for Docker)',
    registry: 'docker.io',
    files: {
      'docker.io/hosts.toml': file(
        'server = "https://docker.io"\n\n[host."https://registry-1.docker.io"]\n  capabilities = ["pull", "resolve"]\n',
      ),
    },
    asks: ['https://registry-1.docker.io/v2', 'https://docker.io/v2'],
  },
  {
    name: '_default is for registries without a directory (docs: Default Mirror)',
    registry: REG,
    files: {
      'other.test/hosts.toml': file(`[host."${PLAIN_2}"]`),
      '_default/hosts.toml': file(`[host."${PLAIN}"]\n  capabilities = ["pull", "resolve"]\n`),
    },
    asks: [`${PLAIN}/v2 ns`, ITSELF],
  },
  {
    name: 'a directory without a hosts.toml hides _default',
    registry: REG,
    files: { 'reg.test': directory(), '_default/hosts.toml': file(`[host."${PLAIN}"]`) },
    asks: [ITSELF],
  },
  {
    name: 'host_port_ comes before host:port',
    registry: 'reg.test:5443',
    files: {
      'reg.test_5443_/hosts.toml': file(`[host."${PLAIN}"]`),
      'reg.test:5443/hosts.toml': file(`[host."${PLAIN_2}"]`),
    },
    asks: [`${PLAIN}/v2 ns`, 'https://reg.test:5443/v2'],
  },
  {
    name: 'host:port alone; the host without its port is another registry',
    registry: 'reg.test:5443',
    files: {
      'reg.test/hosts.toml': file(`[host."${PLAIN}"]`),
      'reg.test:5443/hosts.toml': file(`[host."${PLAIN_2}"]`),
    },
    asks: [`${PLAIN_2}/v2 ns`, 'https://reg.test:5443/v2'],
  },
  {
    name: 'a file in place of the directory: containerd fails, we ask the registry',
    registry: REG,
    files: { 'reg.test': file('') },
    asks: [ITSELF],
    lacks: EVERY,
  },
  {
    name: 'a directory in place of the file: likewise',
    registry: REG,
    files: { 'reg.test/hosts.toml': directory() },
    asks: [ITSELF],
    lacks: EVERY,
  },
];

const SERVERS: readonly EndpointRow[] = [
  row('an empty server is none (k3s)', `server = ""\n\n[host."${PLAIN}"]\n`, [
    `${PLAIN}/v2 ns`,
    ITSELF,
  ]),
  row('a server comes last', `server = "${PLAIN_2}"\n[host."${PLAIN}"]\n`, [
    `${PLAIN}/v2 ns`,
    `${PLAIN_2}/v2 ns`,
  ]),
  row('an empty table of hosts', `server = "${PLAIN}"\n[host]\n`, [`${PLAIN}/v2 ns`]),
  row(
    'without hosts, which is no file before 2.0 (docs: only the mirror)',
    `server = "${PLAIN}"\n`,
    [`${PLAIN}/v2 ns`, ITSELF],
    { lacks: { ...BEFORE_2_0(PLAIN), ...FROM_2_0(ITSELF) } },
  ),
  row('a server that is the registry has no ns', `server = "https://reg.test"\n[host]\n`, [ITSELF]),
  row('the same with its port has', `server = "https://reg.test:443"\n[host]\n`, [
    'https://reg.test:443/v2 ns',
  ]),
  row(
    'a server without capability, when there is one',
    `server = "${PLAIN}"\ncapabilities = ["pull"]\n[host."${PLAIN_2}"]\n`,
    [`${PLAIN_2}/v2 ns`],
  ),
  row(
    'capabilities and path of the root do not count for the registry itself',
    'capabilities = ["push"]\noverride_path = true\n[host]\n',
    [ITSELF],
  ),
  row('headers of the root do', '[host]\n[header]\nx-lab = "root"\n', [`${ITSELF} x-lab=root`]),
  row(
    'a server that begins with http names no host, so it is none',
    'server = "httpbin.test"\n[host]\n',
    [ITSELF],
  ),
  row('nor does one slash', 'server = "http:/127.0.0.1:5101"\n[host]\n', [ITSELF]),
  row(
    'a server by an unknown scheme cannot be asked',
    `server = "httpx://127.0.0.1:5101"\n[host."${PLAIN}"]\n`,
    [`${PLAIN}/v2 ns`],
  ),
];

const CAPABILITIES: readonly EndpointRow[] = [
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

const PATHS: readonly EndpointRow[] = [
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

const OVERRIDDEN: readonly EndpointRow[] = [
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

const URLS: readonly EndpointRow[] = [
  host('without a scheme: https', 'reg.test:5443', '', ['https://reg.test:5443/v2 ns']),
  host('a user is not sent', 'http://user:pw@127.0.0.1:5101', '', [`${PLAIN}/v2 ns`]),
  host('letters of the host count for ns', 'https://REG.test', '', ['https://REG.test/v2 ns']),
  host('IPv6', 'http://[::1]:5103', '', ['http://[::1]:5103/v2 ns']),
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

const TLS: readonly EndpointRow[] = [
  host('an authority that nobody knows', PRIVATE, '', [`${PRIVATE}/v2 ns`]),
  host('an authority by its path', PRIVATE, 'ca = "$CERTS/private.crt"', [
    `${PRIVATE}/v2 ns ca=$CERTS/private.crt`,
  ]),
  host(
    'by a path relative to the file',
    PRIVATE,
    'ca = "ca/private.crt"',
    [`${PRIVATE}/v2 ns ca=reg.test/ca/private.crt`],
    {
      files: {
        'reg.test/hosts.toml': file(`[host."${PRIVATE}"]\nca = "ca/private.crt"\n`),
        'reg.test/ca/private.crt': file('$private.crt'),
      },
    },
  ),
  host(
    "several; the system's stay",
    'https://reg.test:5443',
    'ca = ["$CERTS/private.crt", "$CERTS/system.crt"]',
    ['https://reg.test:5443/v2 ns ca=$CERTS/private.crt,$CERTS/system.crt'],
  ),
  host('no verification', PRIVATE, 'skip_verify = true', [`${PRIVATE}/v2 ns skip`]),
  host('a text in place of true rejects the file', PRIVATE, 'skip_verify = "true"', []),
  host(
    'a client with its key in one file',
    PRIVATE,
    'skip_verify = true\nclient = "$CERTS/client.pem"',
    [`${PRIVATE}/v2 ns skip client=$CERTS/client.pem`],
  ),
  host('clients', PRIVATE, 'skip_verify = true\nclient = ["$CERTS/client.pem"]', [
    `${PRIVATE}/v2 ns skip client=$CERTS/client.pem`,
  ]),
  host(
    'a client and its key',
    PRIVATE,
    'skip_verify = true\nclient = [["$CERTS/client.cert", "$CERTS/client.key"]]',
    [`${PRIVATE}/v2 ns skip client=$CERTS/client.cert+$CERTS/client.key`],
  ),
  host('three are no pair', PRIVATE, 'client = [["a", "b", "c"]]', []),
  row(
    'of the root',
    `server = "${PRIVATE}"\nca = "$CERTS/private.crt"\nclient = [["$CERTS/client.cert", "$CERTS/client.key"]]\n[host]\n`,
    [`${PRIVATE}/v2 ns ca=$CERTS/private.crt client=$CERTS/client.cert+$CERTS/client.key`],
  ),
  {
    name: 'certificates of the directory, where there is no file',
    registry: 'reg.test:6443',
    files: {
      'reg.test:6443/private.crt': file('$private.crt'),
      'reg.test:6443/me.cert': file('$client.cert'),
      'reg.test:6443/me.key': file('$client.key'),
      'reg.test:6443/notes.txt': file('-'),
    },
    asks: [
      'https://reg.test:6443/v2 ca=reg.test:6443/private.crt client=reg.test:6443/me.cert+reg.test:6443/me.key',
    ],
  },
  {
    name: 'or an empty one; a client with its key in one file',
    registry: 'reg.test:6443',
    files: {
      'reg.test:6443/hosts.toml': file(''),
      'reg.test:6443/private.crt': file('$private.crt'),
      'reg.test:6443/me.cert': file('$client.pem'),
    },
    asks: ['https://reg.test:6443/v2 ca=reg.test:6443/private.crt client=reg.test:6443/me.cert'],
  },
  {
    name: 'or one that is rejected',
    registry: 'reg.test:6443',
    files: {
      'reg.test:6443/hosts.toml': file('server = '),
      'reg.test:6443/private.crt': file('$private.crt'),
    },
    asks: ['https://reg.test:6443/v2 ca=reg.test:6443/private.crt'],
  },
  {
    name: 'a file ends them',
    registry: 'reg.test:6443',
    files: {
      'reg.test:6443/hosts.toml': file(`[host."${PLAIN}"]`),
      'reg.test:6443/private.crt': file('$private.crt'),
    },
    asks: [`${PLAIN}/v2 ns`, 'https://reg.test:6443/v2'],
  },
  {
    name: 'a file of comments ends them from 2.0 on, where it is no rejected one',
    registry: 'reg.test:6443',
    files: {
      'reg.test:6443/hosts.toml': file('# nothing yet\n'),
      'reg.test:6443/private.crt': file('$private.crt'),
    },
    asks: ['https://reg.test:6443/v2', 'https://reg.test:6443/v2 ca=reg.test:6443/private.crt'],
    lacks: FROM_2_0('reg.test:6443'),
  },
];

const TLS_OVER_HTTP: readonly EndpointRow[] = [
  host(
    'http with a word about TLS tries https first',
    'http://127.0.0.1:6443',
    'skip_verify = true',
    ['https://127.0.0.1:6443/v2 ns or-http skip'],
    { lacks: { '1.6': ['6443'] } },
  ),
  host('and http where that is not spoken', PLAIN, 'skip_verify = false', [
    'https://127.0.0.1:5101/v2 ns or-http',
  ]),
  host('an empty list of authorities is such a word', PLAIN, 'ca = []', [
    'https://127.0.0.1:5101/v2 ns or-http',
  ]),
  host('an empty list of clients is none', PLAIN, 'client = []', [`${PLAIN}/v2 ns`]),
  host('http without one stays http', 'http://127.0.0.1:6443', '', ['http://127.0.0.1:6443/v2 ns']),
  host('at port 80 it stays http, too', 'http://127.0.0.1:80', 'skip_verify = true', [
    'http://127.0.0.1:80/v2 ns skip',
  ]),
  host(
    'without a port: 443, then 80 where nobody listens',
    'http://127.0.0.3',
    'skip_verify = true',
    ['https://127.0.0.3/v2 ns skip', 'http://127.0.0.3/v2 ns skip'],
  ),
  host(
    'without a port: 443 alone where somebody does, but 80 on 1.6',
    'http://127.0.0.1',
    'skip_verify = true',
    ['https://127.0.0.1/v2 ns skip', 'http://127.0.0.1/v2 ns skip'],
    {
      lacks: {
        '1.6': ['https://127.0.0.1'],
        '1.7': ['http://127.0.0.1'],
        ...FROM_2_0('http://127.0.0.1'),
      },
    },
  ),
];

const LOCAL: readonly EndpointRow[] = [
  {
    name: 'a local registry is asked over http',
    registry: '127.0.0.1:5101',
    files: {},
    asks: ['https://127.0.0.1:5101/v2 or-http skip'],
  },
  {
    name: 'by name, too',
    registry: 'localhost:5101',
    files: {},
    asks: ['https://localhost:5101/v2 or-http skip'],
  },
  {
    name: 'over https from 1.7 on, without verification',
    registry: '127.0.0.1:6443',
    files: {},
    asks: ['https://127.0.0.1:6443/v2 or-http skip'],
    lacks: { '1.6': ['6443'] },
  },
  {
    name: 'at port 80 over http only',
    registry: '127.0.0.1:80',
    files: {},
    asks: ['http://127.0.0.1:80/v2'],
  },
  {
    name: 'without a port over https, on 1.6 over http',
    registry: '127.0.0.1',
    files: {},
    asks: ['https://127.0.0.1/v2 skip', 'http://127.0.0.1/v2 skip'],
    lacks: { '1.6': ['https://'], '1.7': ['http://'], ...FROM_2_0('http://') },
  },
  {
    name: 'verified where it is a server',
    registry: '127.0.0.1:6443',
    files: { '127.0.0.1:6443/hosts.toml': file(`server = "${PRIVATE}"\n[host]\n`) },
    asks: [`${PRIVATE}/v2`],
  },
  {
    name: 'without verification below a file with hosts',
    registry: '127.0.0.1:6443',
    files: { '127.0.0.1_6443_/hosts.toml': file(`skip_verify = false\n[host."${PLAIN}"]\n`) },
    asks: [`${PLAIN}/v2 ns`, 'https://127.0.0.1:6443/v2 or-http skip'],
    lacks: { '1.6': ['6443'] },
  },
];

const HEADERS: readonly EndpointRow[] = [
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

const FORMS: readonly EndpointRow[] = [
  row('single quotes', `[host.'${PLAIN}']\n`, [`${PLAIN}/v2 ns`, ITSELF]),
  row('a header before its host', `[host."${PLAIN}".header]\nx-lab = "a"\n[host."${PLAIN}"]\n`, [
    `${PLAIN}/v2 ns x-lab=a`,
    ITSELF,
  ]),
  row(
    'hosts in turns: 2.0 and later ask one twice',
    `[host."${PLAIN}"]\n[host."${PLAIN_2}"]\n[host."${PLAIN}".header]\nx-lab = "a"\n`,
    [`${PLAIN}/v2 ns x-lab=a`, `${PLAIN_2}/v2 ns`, ITSELF],
  ),
  row(
    'dotted keys, which 2.0 and later do not see',
    `host."${PLAIN}".capabilities = ["pull", "resolve"]\n`,
    [`${PLAIN}/v2 ns`, ITSELF],
    { lacks: FROM_2_0(PLAIN) },
  ),
  row(
    'tables in lines of [host], likewise',
    `[host]\n"${PLAIN}" = { capabilities = ["pull", "resolve"] }\n`,
    [`${PLAIN}/v2 ns`, ITSELF],
    { lacks: FROM_2_0(PLAIN) },
  ),
  row(
    'one table for all, likewise',
    `host = { "${PLAIN}" = { skip_verify = true } }\n`,
    ['https://127.0.0.1:5101/v2 ns or-http skip', ITSELF],
    { lacks: FROM_2_0('5101') },
  ),
  row('keys that nobody knows', `answer = 42\n[host."${PLAIN}"]\nserver = "x"\n[notes]\na = 1\n`, [
    `${PLAIN}/v2 ns`,
    ITSELF,
  ]),
  row('lines that end as on Windows', `server = "${PLAIN_2}"\r\n[host."${PLAIN}"]\r\n`, [
    `${PLAIN}/v2 ns`,
    `${PLAIN_2}/v2 ns`,
  ]),
  row('no TOML', `[host."${PLAIN}"]\nserver =\n`, [ITSELF]),
  row('a table twice', `[host."${PLAIN}"]\n[host."${PLAIN}"]\n`, [ITSELF]),
  row('a host that is no table', 'host = "x"\n', [ITSELF]),
  row('a list of tables', `[[host."${PLAIN}"]]\n`, [ITSELF]),
  row('a server that is no text', `server = 1\n[host."${PLAIN}"]\n`, [ITSELF]),
  host('a path that is no truth', PLAIN, 'override_path = 1', []),
  host('a time-out', PLAIN, 'dial_timeout = "1m30s"', [`${PLAIN}/v2 ns`]),
  host('an empty one', PLAIN, 'dial_timeout = ""', [`${PLAIN}/v2 ns`]),
  host(
    'a bad one, which rejects the file from 2.0 on',
    PLAIN,
    'dial_timeout = "1 minute"',
    [`${PLAIN}/v2 ns`],
    { lacks: FROM_2_0(PLAIN) },
  ),
  host('a number is a bad one', PLAIN, 'dial_timeout = 5', [`${PLAIN}/v2 ns`], {
    lacks: FROM_2_0(PLAIN),
  }),
];

export const ENDPOINT_ROWS: readonly EndpointRow[] = [
  ...DIRECTORIES,
  ...SERVERS,
  ...CAPABILITIES,
  ...PATHS,
  ...OVERRIDDEN,
  ...URLS,
  ...TLS,
  ...TLS_OVER_HTTP,
  ...LOCAL,
  ...HEADERS,
  ...FORMS,
];
