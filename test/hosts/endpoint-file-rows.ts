/** Rows about whole files. */
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
import { file } from './tree.ts';

export const SERVERS: readonly EndpointRow[] = [
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
    { lacks: { ...BEFORE_2_0(PLAIN), ...FROM_2_0('https://') } },
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

const IN_2_2_AND_2_3 = (part: string) => ({ '2.2': [part], '2.3': [part] });

export const FORMS: readonly EndpointRow[] = [
  row(
    'keys in capitals, which 1.x does not know',
    `Server = "${PLAIN}"\n[host."${PLAIN_2}"]\nCapabilities = ["pull"]\n`,
    [`${PLAIN_2}/v2 ns`, `${PLAIN}/v2 ns`, ITSELF],
    { lacks: { ...BEFORE_2_0(PLAIN), ...FROM_2_0(PLAIN_2, 'https://') } },
  ),
  row(
    'a byte order mark, which rejects the file from 2.0 on',
    `\uFEFFserver = "${PLAIN}"\n[host]\n`,
    [`${PLAIN}/v2 ns`, ITSELF],
    { lacks: { ...BEFORE_2_0('https://'), ...FROM_2_0(PLAIN) } },
  ),
  row(
    'blanks and comments',
    `[ host . "${PLAIN}" ] # first\n\tcapabilities = [ # all\n"pull", "resolve", ]\n`,
    [`${PLAIN}/v2 ns`, ITSELF],
  ),
  row(
    'escapes in a name, which 1.x does not read',
    `server = "${PLAIN_2}"\n[host."http:\\u002F\\u002F127.0.0.1:5101"]\n`,
    [`${PLAIN}/v2 ns`, `${PLAIN_2}/v2 ns`],
    { lacks: BEFORE_2_0(PLAIN) },
  ),
  row(
    'an inline table over lines (TOML 1.1), which not every version takes',
    `server = "${PLAIN_2}"\n[host."${PLAIN}"]\nheader = {\n  x-lab = "a"\n}\n`,
    [`${PLAIN}/v2 ns x-lab=a`, `${PLAIN_2}/v2 ns`, ITSELF],
    { lacks: { ...FROM_2_0('https://'), ...BEFORE_2_0('https://'), ...IN_2_2_AND_2_3('ns=') } },
  ),
  row(
    'a comma at the end of one (TOML 1.1), likewise',
    `server = "${PLAIN_2}"\n[host."${PLAIN}"]\nheader = { x-lab = "a", }\n`,
    [`${PLAIN}/v2 ns x-lab=a`, `${PLAIN_2}/v2 ns`, ITSELF],
    { lacks: { ...FROM_2_0('https://'), ...BEFORE_2_0('ns='), ...IN_2_2_AND_2_3('ns=') } },
  ),
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

/**
 * The examples of containerd/docs/hosts.md that no row above has; certificates are in a place of
 * the lab.
 */
export const DOCUMENTED: readonly EndpointRow[] = [
  {
    name: 'docs: Setup a Local Mirror for Docker',
    registry: 'docker.io',
    files: {
      'docker.io/hosts.toml': file(`
server = "https://registry-1.docker.io"    # Exclude this to not use upstream

[host."https://public-mirror.example.com"]
  capabilities = ["pull"]                  # Requires less trust, won't resolve tag to digest from this host
[host."https://docker-mirror.internal"]
  capabilities = ["pull", "resolve"]
  ca = "docker-mirror.crt"                 # Or absolute path /etc/containerd/certs.d/docker.io/docker-mirror.crt
`),
      'docker.io/docker-mirror.crt': file('$system.crt'),
    },
    asks: [
      'https://docker-mirror.internal/v2 ns ca=docker.io/docker-mirror.crt',
      'https://registry-1.docker.io/v2',
    ],
  },
  {
    name: 'docs: Bypass TLS Verification',
    registry: 'docker.io',
    files: {
      'docker.io/hosts.toml': file(`
server = "https://registry-1.docker.io"

[host."http://$ADDR:6443"]
  capabilities = ["pull", "resolve", "push"]
  skip_verify = true
`),
    },
    asks: ['https://$ADDR:6443/v2 ns or-http skip', 'https://registry-1.docker.io/v2'],
    lacks: { '1.6': [':6443/'] },
  },
  row(
    'docs: host fields',
    `
[host."https://mirror.registry"]
  capabilities = ["pull"]
  ca = "$CERTS/system.crt"
  skip_verify = false
  [host."https://mirror.registry".header]
    x-custom-2 = ["value1", "value2"]

[host."https://mirror-bak.registry/us"]
  capabilities = ["pull"]
  skip_verify = true

[host."http://mirror.registry"]
  capabilities = ["pull"]

[host."https://test-1.registry"]
  capabilities = ["pull", "resolve", "push"]
  ca = ["$CERTS/system.crt", "$CERTS/private.crt"]
  client = [["$CERTS/client.cert", "$CERTS/client.key"],["$CERTS/client.pem", "$CERTS/client.pem"]]

[host."https://test-2.registry"]
  client = "$CERTS/client.pem"

[host."https://test-3.registry"]
  client = ["$CERTS/client.pem", "$CERTS/client.pem"]

[host."https://non-compliant-mirror.registry/v2/upstream"]
  capabilities = ["pull"]
  override_path = true
`,
    [
      'https://test-1.registry/v2 ns ca=$CERTS/system.crt,$CERTS/private.crt client=$CERTS/client.cert+$CERTS/client.key,$CERTS/client.pem+$CERTS/client.pem',
      'https://test-2.registry/v2 ns client=$CERTS/client.pem',
      'https://test-3.registry/v2 ns client=$CERTS/client.pem,$CERTS/client.pem',
      ITSELF,
    ],
  ),
];
