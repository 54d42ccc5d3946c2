/** What fuzzing found, in its smallest form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configSource } from '../../../lib/install/containerd/config-source.ts';
import {
  criTablesOf,
  importsOfDump,
  settingsOfDump,
  settingsOfStatus,
} from '../../../lib/install/containerd/cri-settings.ts';

test('tables in the tables of texts and numbers are passed over', () => {
  const mirror = '[plugins.cri.registry.mirrors.a]\nendpoint = [{}, "https://a"]\n';
  assert.deepEqual(importsOfDump('imports = [{a=1}, "/a"]\n'), ['/a']);
  const text = `version = {}\n${mirror.replace('cri.', '"io.containerd.grpc.v1.cri".')}`;
  assert.deepEqual(settingsOfDump(text).mirrors, { a: ['https://a'] });
  assert.equal(criTablesOf(text, 3)?.version, 1);
  const source = configSource(
    '/etc/k0s/a.toml',
    '# generated\nversion = 3\nimports = [{}, "/b/*.toml"]\n',
    {
      name: 'k0s',
    } as Parameters<typeof configSource>[2],
  );
  assert.equal(source.kind, 'drop-in');
  for (const json of ['null', '""', '[]']) assert.equal(settingsOfStatus(json), undefined);
});
