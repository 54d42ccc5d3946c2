import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMANDS } from '../../../cmd/commands.ts';
import { CONFIGURATION_OPTIONS } from '../../../cmd/options/configuration-options.ts';
import { REGISTRY_OPTIONS } from '../../../cmd/options/registry-options.ts';
import { withBareNames } from '../../../cmd/options/variables.ts';
import { FAST, wait } from '../run-cleanup-wait.ts';
import { run, settingsOf, spegel } from '../support.ts';

test('a variable with the prefix wins over the bare one, and a flag over both', async () => {
  const port = async (env: Record<string, string>, ...args: string[]) =>
    (await settingsOf(args, env)).routerAddress.port;
  const both = { SPEGEL_ROUTER_ADDR: ':7001', ROUTER_ADDR: ':7002' };
  assert.equal(await port(both), 7001);
  assert.equal(await port({ SPEGEL_ROUTER_ADDR: ':7001' }), 7001);
  assert.equal(await port({ ...both, SPEGEL_ROUTER_ADDR: ' ' }), 7002);
  assert.equal(await port(both, '--router-addr=:7003'), 7003);
  assert.equal((await settingsOf([], { SPEGEL_DATA_DIR: '', DATA_DIR: '/x' })).dataDir, '');
});

test('a wrong value is named by the variable that has it', async () => {
  const env = { SPEGEL_ROUTER_ADDR: 'x', ROUTER_ADDR: ':1' };
  assert.match((await run(['registry'], env)).stderr, /^spegel: SPEGEL_ROUTER_ADDR: expected an a/);
});

test('every option of every command that has a variable has one with the prefix', async () => {
  for (const { name, options } of COMMANDS) {
    for (const { env, form } of Object.values(options)) {
      if (env === undefined || env === 'STATIC_BOOTSTRAP_PEERS') continue;
      const { stderr } = await runQuietly(name, { [`SPEGEL_${env}`]: '\0' });
      // What takes any text has nothing to complain about.
      const isFree = form === 'list' && stderr === '';
      if (!isFree) assert.match(stderr, new RegExp(`SPEGEL_${env}: expected `), `${name} ${env}`);
    }
  }
});

/** A command whose options are wrong: it reads them and ends. */
async function runQuietly(name: string, env: Record<string, string>) {
  const command = COMMANDS.find((one) => one.name === name);
  assert.ok(command !== undefined);
  let stderr = '';
  const { runCommandLine } = await import('../../../cmd/command-line.ts');
  await runCommandLine(
    [name, ...(command.argument?.choices.slice(0, 1) ?? [])],
    [
      {
        ...command,
        run: async (given, context) => {
          const { readOptions } = await import('../../../cmd/options/read-options.ts');
          readOptions(command.options, given, context.env);
          return 0;
        },
      },
    ],
    {
      env,
      stdout: () => {},
      stderr: (text) => {
        stderr += text;
      },
      events: { on: () => {}, off: () => {} },
      exit: () => {},
    },
  );
  return { stderr };
}

test('TIMEOUT of a shell is anybody’s: SPEGEL_TIMEOUT is ours', async () => {
  const env = { TIMEOUT: '1h', SPEGEL_TIMEOUT: '50ms', SPEGEL_PROBE_ENDPOINT: '127.0.0.1:1' };
  const { status, stderr } = await wait(FAST, { env });
  assert.equal(status, 1);
  assert.match(stderr, /within 50ms/);
});

test('a name that begins as ours do and is none is said, once and by every command', async () => {
  const env = {
    SPEGEL_ROUTER_ADR: ':1',
    SPEGEL_: 'x',
    SPEGEL_ROUTER_ADDR: ':7001',
    // Of a Kubernetes Service of that name.
    SPEGEL_SERVICE_HOST: '10.0.0.1',
    SPEGEL_SERVICE_PORT_HTTP: '80',
    SPEGEL_PORT: 'tcp://10.0.0.1:80',
    SPEGEL_PORT_80_TCP_ADDR: '10.0.0.1',
  };
  const { stderr } = await spegel(['version'], env);
  assert.deepEqual(stderr.match(/note: \w+/g), ['note: SPEGEL_', 'note: SPEGEL_ROUTER_ADR']);
  const { stderr: log } = await run(['registry'], env);
  const said = log.split('\n').filter((line) => line.includes('SPEGEL_ROUTER_ADR'));
  assert.equal(said.length, 1);
  assert.equal(JSON.parse(said[0] ?? '').level, 'WARN');
});

test('of spegel.env, the bare names say what the services do', () => {
  const tables = [REGISTRY_OPTIONS, CONFIGURATION_OPTIONS];
  const env = {
    SPEGEL_REGISTRY_ADDR: ':5010',
    REGISTRY_ADDR: ':5020',
    SPEGEL_ROUTER_ADDR: '',
    ROUTER_ADDR: ':5021',
    SPEGEL_DIAL_TIMEOUT: '2s',
    SPEGEL_ODD: 'x',
    HTTP_PROXY: 'http://p',
  };
  assert.deepEqual(withBareNames(env, tables), {
    REGISTRY_ADDR: ':5010',
    ROUTER_ADDR: ':5021',
    DIAL_TIMEOUT: '2s',
    SPEGEL_ODD: 'x',
    HTTP_PROXY: 'http://p',
  });
});
