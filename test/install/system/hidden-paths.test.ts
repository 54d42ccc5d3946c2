import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { hiddenPaths, unhidingLines } from '../../../lib/install/system/hidden-paths.ts';
import { CONFIGURATION_UNIT, SERVICE_UNIT } from '../../../lib/install/system/layout.ts';
import { servicePaths } from '../../../lib/install/system/service-paths.ts';

const unitText = (name: string) =>
  readFileSync(join(import.meta.dirname, '../../../systemd', name), 'utf8');

function scratch(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-hidden-'));
  t.after(() => rmSync(dir, { recursive: true }));
  for (const name of ['a', 'b', 'seen']) mkdirSync(join(dir, name));
  return dir;
}

test('the list is without what holds a path that is named, also through links', (t) => {
  const dir = scratch(t);
  const unit = `[Service]\nInaccessiblePaths=-${dir}/a -${dir}/b\nInaccessiblePaths=-${dir}/link\n`;
  symlinkSync(join(dir, 'b/later'), join(dir, 'seen/to-b'));
  symlinkSync(join(dir, 'seen'), join(dir, 'link'));
  const without = (...paths: string[]) =>
    unhidingLines(
      unit,
      paths.map((path) => join(dir, path)),
    );
  assert.equal(without('elsewhere', 'ab', 'a.conf'), undefined);
  const lines = (...left: string[]) =>
    ['', ...left.map((name) => `-${dir}/${name}`)].map((word) => `InaccessiblePaths=${word}`);
  assert.equal(without('a/not/there/yet'), lines('b', 'link').join('\n'));
  assert.equal(without('a', 'b'), lines('link').join('\n'));
  // A file below what the third one leads to, and a link out of there that leads to the second.
  assert.equal(without('seen/file'), lines('a', 'b').join('\n'));
  assert.equal(without('seen/to-b'), lines('a').join('\n'));
  // A link in the middle of the way.
  symlinkSync(join(dir, 'seen/end'), join(dir, 'a/middle'));
  symlinkSync(join(dir, 'a/middle'), join(dir, 'seen/over-a'));
  assert.equal(without('seen/over-a'), lines('b').join('\n'));
});

test('what hosts.toml files and directories of registries lead to is named', async (t) => {
  const dir = scratch(t);
  const certsD = join(dir, 'certs.d');
  mkdirSync(join(certsD, 'one.corp'), { recursive: true });
  const toml = `[host."https://one.corp"]\nca = "${dir}/a/ca.pem"\nclient = [["c.pem", "/k.pem"]]\n`;
  writeFileSync(join(certsD, 'one.corp/hosts.toml'), toml);
  symlinkSync(join(dir, 'b'), join(certsD, 'two.corp'));
  const settings = {
    hostsPaths: [certsD],
    pathsInSettings: { [SERVICE_UNIT]: ['/var/cache/layout'], [CONFIGURATION_UNIT]: [] },
    containerd: { socket: join(dir, 'none.sock') },
  };
  const named = await servicePaths(settings, AbortSignal.timeout(60_000));
  for (const unit of [SERVICE_UNIT, CONFIGURATION_UNIT] as const) {
    const expected = [
      `${dir}/a/ca.pem`,
      `${certsD}/one.corp/c.pem`,
      '/k.pem',
      `${certsD}/two.corp`,
    ];
    const missing = [...expected, '/etc/hosts', certsD].filter(
      (path) => !named[unit].includes(path),
    );
    assert.deepEqual(missing, []);
    const hidden = `InaccessiblePaths=-${dir}/a -${dir}/b -/nowhere`;
    assert.match(unhidingLines(hidden, named[unit]) ?? '', /^InaccessiblePaths=\n.*=-\/nowhere$/);
  }
  assert.ok(named[SERVICE_UNIT].includes('/var/cache/layout'));
  assert.ok(!named[CONFIGURATION_UNIT].includes('/var/cache/layout'));
});

test('the unit of the settings hides what the service does, and more; nothing has to be there', () => {
  const [service, configuration] = [SERVICE_UNIT, CONFIGURATION_UNIT].map((name) =>
    hiddenPaths(unitText(name)),
  ) as [string[], string[]];
  assert.ok(service.length > 50);
  assert.deepEqual(
    service.filter((word) => !configuration.includes(word)),
    [],
  );
  for (const word of configuration) assert.match(word, /^-\/(?:etc|var)\/[^/]/);
  assert.deepEqual(configuration.toSorted(), [...new Set(configuration)].toSorted());
});

test('as it is set by default, nothing that is read is hidden', async () => {
  const settings = {
    hostsPaths: ['/etc/containerd/certs.d'],
    pathsInSettings: {
      [SERVICE_UNIT]: ['/var/lib/spegel'],
      [CONFIGURATION_UNIT]: ['/etc/secrets/basic-auth'],
    },
    containerd: { socket: '/run/none/containerd.sock' },
  };
  const named = await servicePaths(settings, AbortSignal.timeout(60_000));
  const k3s = '/var/lib/rancher/k3s/agent/containerd/io.containerd.content.v1.content';
  const content = ['/var/lib/containerd/io.containerd.content.v1.content', k3s];
  assert.equal(
    unhidingLines(unitText(SERVICE_UNIT), [...named[SERVICE_UNIT], ...content]),
    undefined,
  );
  assert.equal(unhidingLines(unitText(CONFIGURATION_UNIT), named[CONFIGURATION_UNIT]), undefined);
});
