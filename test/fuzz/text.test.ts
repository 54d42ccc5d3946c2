/** Texts of this host: addresses, key files, environment files, resolv.conf, proxies. */
import assert from 'node:assert/strict';
import { isIP, isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import {
  canonicalIp,
  formatHostPort,
  hostPrefixOf,
  ipv6Groups,
  isNowhere,
  parseHostPort,
} from '../../lib/base/address.ts';
import { formatDuration, parseDuration } from '../../lib/base/duration.ts';
import { SpegelError } from '../../lib/base/errors.ts';
import { addressesInHosts, searchDomains } from '../../lib/base/host-names.ts';
import { parseSubnet, Subnets } from '../../lib/base/subnet.ts';
import { editedEnvironment } from '../../lib/install/settings/environment-edit.ts';
import { parseNetworkKeys } from '../../lib/network-key/file.ts';
import { routeOf, withoutPassword } from '../../lib/proxy/go-proxy.ts';
import { parseEnvironmentFile, quoted } from '../../lib/systemd/environment-syntax.ts';
import { fuzz, fuzzer } from './fuzzer.ts';
import { CONTROL, mutatedText } from './mutations.ts';

const hostPort = mutatedText(
  fc.oneof(
    fc.tuple(fc.ipV4(), fc.nat(70_000)).map(([ip, port]) => `${ip}:${port}`),
    fc.tuple(fc.ipV6(), fc.nat(70_000)).map(([ip, port]) => `[${ip}]:${port}`),
    fc.ipV6(),
    fc.constantFrom('host.example:5000', '::ffff:10.0.0.1', 'fe80::1%eth0', '::1.2.3.4', 'a_b:1'),
  ),
  [':', '[', ']', '%', '.', '::', '/24', '00000'],
);

const KEY = 'ab'.repeat(32);
const OTHER = 'cd'.repeat(32);
const keyFile = mutatedText(
  fc.constantFrom(
    `${KEY}\n`,
    `# a comment\n${KEY}\n\n${OTHER}\n`,
    `/key/swarm/psk/1.0.0/\n/base16/\n${KEY}\n`,
    `/key/swarm/psk/1.0.0/\n/base16/\n${KEY}\n${OTHER}`,
  ),
  ['/base16/\n', '#', ' ', '\t', KEY, KEY.toUpperCase()],
);

const line = fc.oneof(
  fc.constantFrom(
    '# a comment',
    '#ROUTER_ADDR=:5001',
    '',
    "A='b c'",
    'A="b\\"c',
    'A=b\\',
    '  B = "x" \'y\' z',
    'export C=1',
    "D='",
  ),
  fc
    .tuple(fc.constantFrom('A', 'ROUTER_ADDR', 'SPEGEL_A'), fc.string())
    .map(([name, value]) => `${name}=${quoted(value)}`),
);
const environment = mutatedText(
  fc
    .tuple(fc.array(line, { maxLength: 8 }), fc.constantFrom('\n', '\r\n', '\r'))
    .map(([lines, end]) => lines.map((text) => text + end).join('')),
  ['"', "'", '\\', '=', '#', 'A=', '\\\n', 'A=1\r\n'],
);

const YEAR_MS = 366 * 86_400_000;

fuzz(import.meta.filename, [
  fuzzer('host:port: none, or what is written as it was and comes again', hostPort, (text) => {
    parseHostPort(text);
    const parsed = parseHostPort(text, 5001);
    if (parsed === undefined) return;
    const { host, port } = parsed;
    assert.ok(port >= 1 && port <= 65_535);
    assert.doesNotMatch(host, CONTROL);
    assert.deepEqual(parseHostPort(formatHostPort(host, port)), parsed);
  }),

  fuzzer(
    'addresses: one spelling each, and eight groups that mean it',
    fc.oneof(fc.ipV6(), hostPort),
    (text) => {
      const ip = canonicalIp(text);
      if (isIP(text) === 0) return;
      assert.equal(canonicalIp(ip), ip);
      isNowhere(ip);
      hostPrefixOf(ip);
      if (!isIPv6(ip)) return assert.ok(isIPv4(ip));
      const groups = ipv6Groups(ip);
      assert.equal(groups.length, 8);
      assert.equal(canonicalIp(groups.map((group) => group.toString(16)).join(':')), ip);
    },
  ),

  fuzzer('subnets: none, or one that has its own address', hostPort, (text) => {
    const subnet = parseSubnet(text);
    if (subnet !== undefined) assert.ok(new Subnets([subnet]).has(subnet.address));
  }),

  fuzzer(
    'durations: none, or one that is written and comes again',
    mutatedText(fc.constantFrom('1m30s', '200ms', '-1.5h', '0', '1us'), ['.', 'h', '-', '9', 'ns']),
    (text) => {
      const ms = parseDuration(text);
      // No option takes a year or more; far beyond that hours and seconds together have too many
      // digits.
      if (ms === undefined || !Number.isSafeInteger(ms) || Math.abs(ms) > YEAR_MS) return;
      assert.equal(parseDuration(formatDuration(ms)), ms);
    },
  ),

  fuzzer('key files: one or two keys, or ERR_NETWORK_KEY without a key in it', keyFile, (text) => {
    try {
      const keys = parseNetworkKeys('/etc/spegel/network.key', text);
      assert.ok(keys.length === 1 || keys.length === 2);
      for (const { dht } of keys)
        assert.ok(text.toLowerCase().includes(dht.export().toString('hex')));
    } catch (error) {
      if (!(error instanceof SpegelError)) throw error;
      assert.equal(error.code, 'ERR_NETWORK_KEY');
      assert.doesNotMatch(error.message, CONTROL);
      assert.doesNotMatch(error.message, /[0-9a-f]{16}/i);
    }
  }),

  fuzzer(
    'environment files: a setting is changed and nothing else, or ERR_INSTALL',
    fc.tuple(
      environment,
      fc.string({ unit: 'binary' }).map((text) => text.replaceAll(/[\0\r]/g, '')),
    ),
    ([text, value]) => {
      const was = parseEnvironmentFile(text);
      let edited: ReturnType<typeof editedEnvironment>;
      try {
        edited = editedEnvironment(text, { ROUTER_ADDR: value });
      } catch (error) {
        if (!(error instanceof SpegelError)) throw error;
        assert.equal(error.code, 'ERR_INSTALL');
        return;
      }
      const [edit] = edited.edits;
      const name = edit?.name ?? 'ROUTER_ADDR';
      assert.deepEqual(parseEnvironmentFile(edited.text), edit ? { ...was, [name]: value } : was);
      // All that is written stands in one place: what is before and behind it is as it was.
      let start = 0;
      while (start < text.length && text[start] === edited.text[start]) start += 1;
      const tail = (by: number) => edited.text.at(-by) === text.at(-by);
      let end = 0;
      while (end < text.length - start && tail(end + 1)) end += 1;
      const gone = text.slice(start, text.length - end);
      assert.ok(edit !== undefined || gone === '');
      assert.ok(edit?.from !== undefined || !gone.includes('\n'), 'more than a line is gone');
      assert.deepEqual(editedEnvironment(edited.text, { ROUTER_ADDR: value }).edits, []);
    },
  ),

  fuzzer('a value that is quoted comes again', fc.string({ unit: 'binary' }), (value) => {
    if (/[\0\r]/.test(value)) return;
    assert.deepEqual(parseEnvironmentFile(`A=${quoted(value)}\n`), { A: value });
  }),

  fuzzer(
    'hosts and resolv.conf: names of DNS alone, and what stands before a name',
    mutatedText(
      fc.constantFrom(
        '127.0.0.1 localhost a\n',
        'search example.com a.b\n',
        'domain x\nsearch y\t z',
      ),
      ['#', '\t', 'search ', '.', ' a'],
    ),
    (text) => {
      for (const domain of searchDomains(text)) assert.match(domain, /^[\w.-]+$/);
      for (const address of addressesInHosts(text, 'a')) assert.doesNotMatch(address, /\s/);
    },
  ),

  fuzzer(
    'proxies: a route, whatever the variables say, and no password is shown',
    fc.tuple(
      mutatedText(fc.constantFrom('http://user:secret@proxy:3128', 'proxy:80', 'socks5://a'), [
        '%',
        '@',
        ':',
        '//',
      ]),
      mutatedText(fc.constantFrom('.example.com,10.0.0.0/8', '*', '[::1]:80,a:1', 'ä.example'), [
        ',',
        '*',
        '/',
        ':',
      ]),
    ),
    ([proxy, no]) => {
      const variables = { HTTP_PROXY: proxy, https_proxy: proxy, NO_PROXY: no };
      for (const url of ['http://a.example:1/', 'https://[fd00::1]/', 'https://xn--4ca.example/']) {
        const route = routeOf(new URL(url), variables);
        if (route.kind === 'proxy') assert.ok(URL.canParse(route.proxyEnv.HTTP_PROXY ?? ''));
      }
      const shown = withoutPassword(proxy);
      assert.doesNotMatch(shown, CONTROL);
      if (proxy.startsWith('http://user:secret@')) assert.doesNotMatch(shown, /secret/);
    },
  ),
]);
