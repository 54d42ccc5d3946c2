/** Rows about TLS, and about registries on this very host, which containerd treats otherwise. */
import { type EndpointRow, EVERY, FROM_2_0, host, PLAIN, PRIVATE, row } from './endpoint-row.ts';
import { file } from './tree.ts';

export const TLS: readonly EndpointRow[] = [
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
  host(
    'a pair without a key: containerd fails (docs say that it works)',
    PRIVATE,
    'skip_verify = true\nclient = [["$CERTS/client.pem", ""]]',
    [`${PRIVATE}/v2 ns skip client=$CERTS/client.pem`],
    { lacks: EVERY },
  ),
  host(
    'an authority that is not there: containerd fails',
    PLAIN,
    'ca = "$CERTS/missing.crt"',
    ['https://127.0.0.1:5101/v2 ns or-http ca=$CERTS/missing.crt'],
    { lacks: EVERY },
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

export const TLS_OVER_HTTP: readonly EndpointRow[] = [
  host(
    'http with a word about TLS tries https first',
    'http://127.0.0.1:6443',
    'skip_verify = true',
    ['https://127.0.0.1:6443/v2 ns or-http skip'],
    { lacks: { '1.6': [':6443/'] } },
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

export const LOCAL: readonly EndpointRow[] = [
  {
    name: 'by IPv6',
    registry: '[::1]:5103',
    files: {},
    asks: ['https://[::1]:5103/v2 or-http skip'],
    lacks: { '1.6': [''] },
  },
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
    lacks: { '1.6': [':6443/'] },
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
    lacks: { '1.6': [':6443/'] },
  },
];
