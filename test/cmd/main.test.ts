import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { spegel, start } from './support.ts';

/** Wrong calls of the executable, and the one line that each must bring. */
const wrong: Record<string, [string[], RegExp]> = {
  'unknown flag': [
    ['registry', '--registri-addr', ':1'],
    /unknown option '--registri-addr' \(Did you mean --registry-addr\?\); see 'spegel help registry'/,
  ],
  'unknown flag, no command': [['--foo'], /unknown option '--foo'; see 'spegel --help'/],
  'unknown command': [['registri'], /unknown command 'registri' \(Did you mean registry\?\)/],
  'help of an unknown command': [
    ['help', 'foo'],
    /unknown command 'foo', expected one of registry,/,
  ],
  'bad duration': [
    ['registry', '--mirror-resolve-timeout', '200'],
    /--mirror-resolve-timeout: expected a duration such as 200ms or 1m30s, got "200"/,
  ],
  'unparsable multiaddr': [
    ['registry', '--static-bootstrap-peers', '10.0.0.1:5001', '/ip4/10.0.0/tcp/x'],
    /--static-bootstrap-peers: .*expected .*\/ip4\/10\.0\.0\.1\/tcp\/5001/,
  ],
  'bad regex': [
    ['registry', '--registry-filters', '('],
    /--registry-filters: expected a regular expression/,
  ],
  'bad port': [
    ['registry', '--registry-addr', ':70000'],
    /--registry-addr: expected an address .*":70000"/,
  ],
  'missing value': [['registry', '--registry-addr'], /--registry-addr: expected a value, got none/],
  'missing value before a flag': [
    ['registry', '--registry-addr', '--router-addr', ':1'],
    /--registry-addr: expected a value, got "--router-addr"; see/,
  ],
  'extra word': [['registry', 'now'], /expected only options, got "now"/],
  'a value with line ends': [['registry', '--tag-source', 'a\nb'], /got "a\\nb"/],
};
for (const [name, [args, line]] of Object.entries(wrong)) {
  test(`usage error: ${name}`, async () => {
    const { status, stdout, stderr } = await spegel(args);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /^spegel: [^\n]+\n$/);
    assert.match(stderr, line);
  });
}

test('a wrong variable is a usage error that names the variable', async () => {
  const { status, stderr } = await spegel(['registry'], { REGISTRY_ADDR: 'x' });
  assert.equal(status, 2);
  assert.match(stderr, /^spegel: REGISTRY_ADDR: expected [^\n]+\n$/);
});

test('a port in use is one line and status 1', async (context) => {
  const taken = createServer();
  await once(taken.listen(0, '127.0.0.1'), 'listening');
  context.after(() => taken.close());
  const layout = mkdtempSync(join(tmpdir(), 'spegel-main-'));
  context.after(() => rmSync(layout, { recursive: true }));
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(layout, 'index.json'), '{"schemaVersion":2,"manifests":[]}');
  const { port } = taken.address() as AddressInfo;
  const { status, stderr } = await spegel([
    'registry',
    '--log-level=ERROR',
    '--content-store=oci-layout',
    `--oci-layout-path=${layout}`,
    '--data-dir=',
    `--registry-addr=127.0.0.1:${port}`,
    '--router-addr=127.0.0.1:0',
    '--metrics-addr=127.0.0.1:0',
  ]);
  assert.equal(status, 1);
  assert.match(stderr, /^spegel: [^\n]+\n$/);
});

test('no command: help on stderr and status 2', async () => {
  const { status, stdout, stderr } = await spegel([]);
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(stderr, /^Usage: spegel/);
});

test('a reader that goes away does not matter', async () => {
  const child = start('cmd/main.ts', ['help', 'registry']);
  child.stdout.destroy();
  const [status] = await once(child, 'close');
  assert.equal(status, 0);
});

test('a log that cannot be written changes nothing', async () => {
  const child = start('cmd/main.ts', ['registry', '--log-level=x']);
  child.stderr.destroy();
  const [status] = await once(child, 'close');
  assert.equal(status, 2);
});

/** Prints the URL of every module that is loaded on stderr. */
const PRINT_LOADS = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  registerHooks({
    load(url, context, next) {
      console.error(url);
      return next(url, context);
    },
  });
`)}`;

test('version neither loads the daemon nor looks at its options', async () => {
  const env = { REGISTRY_ADDR: 'x', NODE_OPTIONS: `--import=${PRINT_LOADS}` };
  const { status, stderr } = await spegel(['version'], env);
  assert.equal(status, 0);
  assert.match(stderr, /\/cmd\/version\.ts$/m);
  assert.doesNotMatch(stderr, /\/lib\/daemon\.ts$|libp2p|grpc|prom-client/m);
});
