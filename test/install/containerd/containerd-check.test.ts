/** The advice, followed: with a real containerd of each generation reading the file. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Lab, labMissing, labOf } from '../../../lab/fleet/lab.ts';
import { makeImage } from '../../../lab/images/images.ts';
import { run } from '../../../lab/processes/exec.ts';
import { type ContainerdVersion, provisionLab } from '../../../lab/programs/programs.ts';
import { checkContainerd, isAtLeast } from '../../../lib/install/containerd/containerd-check.ts';
import { criFindings } from '../../../lib/install/containerd/cri-findings.ts';
import { criTablesOf, settingsOfDump } from '../../../lib/install/containerd/cri-settings.ts';
import { CONTAINERD } from '../../../lib/install/system/distribution.ts';

const GENERATIONS = [
  ['1.6', '1.7', '2.1'],
  ['2.2', '2.3', '2.4'],
] as const;

for (const version of GENERATIONS.flat()) {
  test(`the lines for a host without a file are what containerd ${version} wants`, {
    skip: await labMissing(version),
  }, async (t) => {
    const tools = await provisionLab();
    assert.ok(!('missing' in tools));
    const dir = await mkdtemp(join(tmpdir(), 'spegel-install-'));
    t.after(() => rm(dir, { recursive: true }));
    const file = join(dir, 'config.toml');
    const program = join(tools.containerd[version].bin, 'containerd');
    const findingsOf = async (text: string) => {
      await writeFile(file, text);
      const { stdout } = await run([program, '--config', file, 'config', 'dump']);
      const settings = settingsOfDump(stdout);
      const tables = criTablesOf(text, isAtLeast(version, [2, 0]) ? 3 : 2);
      assert.ok(tables);
      const origin = { kind: 'file' } as const;
      const hasTransfer = isAtLeast(version, [2, 1]);
      const restart = 'systemctl restart x';
      const context = { file, tables, origin, source: 'test', hasTransfer, restart };
      return criFindings(settings, { ...context, hostsPaths: ['/certs.d'] });
    };
    const [finding] = await findingsOf('');
    assert.equal(finding?.about, 'config_path');
    const text = finding.lines.filter((line) => !line.startsWith('systemctl')).join('\n');
    assert.deepEqual(await findingsOf(`${text}\n`), []);
  });
}

const signal = new AbortController().signal;

for (const group of GENERATIONS) {
  const { versions, skip } = await labOf(group);
  test(
    `asked as it runs, each of ${versions.join(', ')} says what it was told`,
    {
      skip,
      timeout: 60_000,
    },
    (t) => askEach(t, versions),
  );
}

/** What is said of the containerd at a socket, with hosts.toml files in that directory. */
function check(socket: string, hostsPath: string) {
  const unit = 'containerd.service';
  const containerd = { socket, distribution: CONTAINERD, unit, others: [] };
  return checkContainerd({ containerd, hostsPaths: [hostsPath] }, signal);
}

async function askEach(t: TestContext, versions: readonly ContainerdVersion[]): Promise<void> {
  const containerd = versions.map((version) => ({ version, cri: true }));
  const hosts = versions.length + 1;
  const lab = await Lab.create({ hosts, containerd: [...containerd, '2.1'] }, t);
  for (const { containerd: one } of lab.hosts.slice(0, -1)) {
    const { socket, hostsDir } = one;
    await t.test(`containerd ${one.version}`, async () => {
      assert.deepEqual(await check(socket, hostsDir), []);
      const [elsewhere] = await check(socket, '/certs.d');
      assert.equal(elsewhere?.about, 'config_path');
      assert.ok(elsewhere.message.includes(`got '${hostsDir}'`), elsewhere.message);
      await one.restart({ discardUnpackedLayers: true });
      const [discards] = await check(socket, hostsDir);
      assert.equal(discards?.about, 'discard_unpacked_layers');
      await one.stop();
      const [gone] = await check(socket, hostsDir);
      assert.deepEqual([gone?.kind, gone?.about], ['obstacle', 'containerd']);
      assert.match(gone?.message ?? '', /got: connect E[A-Z]+ \/\S+; start it/);
    });
  }
  const { socket, hostsDir } = lab.host(versions.length).containerd;
  const [without] = await check(socket, hostsDir);
  assert.deepEqual([without?.kind, without?.about], ['note', 'cri']);
}

for (const group of [
  ['2.1', '2.2'],
  ['2.3', '2.4'],
] as const) {
  const { versions, skip } = await labOf(group);
  test(`a list in config_path on ${versions.join(' and ')}: as it is said, CRI reads none of it`, {
    skip,
    timeout: 60_000,
  }, async (t) => {
    const containerd = versions.map((version) => ({ version, cri: true }));
    const lab = await Lab.create({ hosts: versions.length, containerd }, t);
    const image = await makeImage(join(lab.dir, 'list'), { seed: 'list', layers: 1 });
    const tag = await lab.upstream.push(image, 'install/list');
    for (const { containerd: one } of lab.hosts) {
      const configPath = `${one.hostsDir}:/etc/docker/certs.d`;
      await one.restart({ configPath });
      const [finding] = await check(one.socket, one.hostsDir);
      assert.match(finding?.message ?? '', /expected .* to be one directory/);
      assert.ok(finding?.lines.includes('  use_local_image_pull = true'), String(finding?.lines));
      assert.ok(finding?.lines.includes(`  config_path = "${one.hostsDir}"`));
      // Its hosts.toml says that the registry speaks plain http.
      await assert.rejects(one.cri.pull(tag), /HTTP response to HTTPS client/);
      await one.restart({ configPath, localImagePull: true });
      const after = await check(one.socket, one.hostsDir);
      // Spegel is to know the list as well.
      assert.deepEqual(
        after.map(({ about }) => about),
        ['hosts-paths'],
      );
      await one.cri.pull(tag);
    }
  });
}
