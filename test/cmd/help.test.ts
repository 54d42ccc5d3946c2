import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REGISTRY_OPTIONS } from '../../cmd/options/registry-options.ts';
import { run, spegel } from './support.ts';

test('help of a command shows every flag with its default and variable', async () => {
  for (const argv of [
    ['help', 'registry'],
    ['registry', '--help'],
    ['registry', '-h'],
  ]) {
    const { status, stdout, stderr } = await run(argv);
    assert.deepEqual([status, stderr], [0, '']);
    const text = stdout.replaceAll(/\s+/g, ' ');
    for (const { flag, env, fallback } of Object.values(REGISTRY_OPTIONS)) {
      const facts = `(${fallback ? `default ${fallback}, ` : ''}env ${env})`;
      assert.match(text, new RegExp(` ${flag} [<[]`));
      assert.ok(text.includes(facts), `${flag}: ${facts}`);
    }
  }
});

test('help fits a screen of 100 columns, and one of 80 where the width is unknown', async () => {
  const widest = (text: string) => Math.max(...text.split('\n').map((line) => line.length));
  const wide = widest((await run(['help', 'registry'])).stdout);
  assert.ok(wide > 80 && wide <= 100, `${wide}`);
  for (const name of ['registry', 'configuration', 'cleanup', 'install', 'key']) {
    const { stdout } = await spegel(['help', name]);
    assert.ok(widest(stdout) <= 80, stdout);
  }
});

test('help names the commands; without a command it is printed as an error', async () => {
  for (const argv of [['--help'], ['-h'], ['help']]) {
    const { status, stdout, stderr } = await run(argv);
    assert.deepEqual([status, stderr], [0, '']);
    for (const name of ['registry', 'version', 'help'])
      assert.match(stdout, new RegExp(`^  ${name} `, 'm'));
  }
  const { status, stdout, stderr } = await run([]);
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(stderr, /^Usage: spegel/);
});

test('version, as text and as JSON', async () => {
  const { stdout, status } = await run(['version']);
  assert.equal(status, 0);
  assert.match(
    stdout,
    /^spegel dev \(commit unknown, node v\d+\.\d+\.\d+, linux\/(amd64|arm64)\)\n$/,
  );
  const json = JSON.parse((await run(['version', '--format=json'])).stdout);
  assert.deepEqual(Object.keys(json), ['version', 'commit', 'node', 'arch']);
  assert.equal((await run(['version'], { FORMAT: 'json' })).stdout, stdout, 'FORMAT is anybody’s');
  assert.deepEqual(JSON.parse((await run(['version', '--json'])).stdout), json);
  assert.deepEqual(await run(['--version']), await run(['version']));
});

test('what is no command is an error, also where help or a version is asked for', async () => {
  for (const argv of [
    ['bogus'],
    ['bogus', '--help'],
    ['bogus', '-h'],
    ['--help', 'bogus'],
    ['help', 'bogus'],
    ['--log-level', 'DEBUG', 'bogus', '--help'],
    ['-log-level=DEBUG', 'bogus', '--version'],
  ]) {
    const { status, stdout, stderr } = await run(argv);
    assert.deepEqual([status, stdout], [2, ''], argv.join(' '));
    assert.match(stderr, /^spegel: unknown command 'bogus'/);
  }
});

test('--log-level is no option of what says nothing by it', async () => {
  for (const argv of [
    ['--log-level', 'DEBUG', 'version'],
    ['version', '--log-level', 'DEBUG'],
  ]) {
    const { status, stderr } = await run(argv);
    assert.equal(status, 2);
    assert.match(stderr, /unknown option '--log-level'.*; see 'spegel help version'/);
  }
});

test('completion prints what each shell needs, and wants a shell', async () => {
  for (const [shell, first] of Object.entries({
    bash: '# bash completion for spegel\n',
    zsh: '#compdef spegel\n',
    fish: '# fish completion for spegel\n',
  })) {
    const { status, stdout, stderr } = await spegel(['completion', shell]);
    assert.deepEqual([status, stderr], [0, '']);
    assert.ok(stdout.startsWith(first));
  }
  const [other, none] = [await spegel(['completion', 'tcsh']), await spegel(['completion'])];
  assert.deepEqual([other.status, none.status], [2, 2]);
  assert.match(
    other.stderr,
    /expected bash or zsh or fish, got "tcsh"; see 'spegel help completion'/,
  );
  assert.match(
    none.stderr,
    /shell: expected bash or zsh or fish, got none; see 'spegel help completion'/,
  );
});
