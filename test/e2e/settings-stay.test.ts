/** The mirror settings stay on a real systemd, whoever else writes where they are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../support/exec.ts';
import { Lab, labMissing } from '../support/lab.ts';
import { SystemdHost, systemdMissing } from '../support/systemd-host.ts';

const skip = (await labMissing()) || (await systemdMissing());

const MIRROR = '[host."http://127.0.0.1:5000"]';
const CONFIGURATION = 'spegel-configuration.service';

test('the mirror settings stay', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 0 }, t);
  const { registry } = lab.upstream;
  const host = await SystemdHost.create(lab, 'stay');
  await host.addRegistry(registry);
  await host.boot();
  for (const unit of ['spegel-settings.path', 'spegel-settings.service', CONFIGURATION]) {
    const { stdout, stderr } = await host.run(['systemd-analyze', 'verify', unit]);
    t.diagnostic(`${unit}: ${stdout}${stderr}`);
  }
  await host.systemctl('enable', '--now', 'containerd', 'spegel');
  await host.untilActive();
  await host.untilActive(CONFIGURATION);
  const isMirrored = async () => ((await host.settings())[registry]?.text ?? '').includes(MIRROR);
  assert.ok(await isMirrored());
  t.diagnostic((await host.run(['systemd-analyze', 'security', '--no-pager', '--offline=true', '/etc/systemd/system/spegel-settings.service'])).stdout.split('\n').slice(-3).join('\n'));
  await sleep(3000);
  const began = performance.now();
  await host.addRegistry(registry);
  await waitUntil('back', isMirrored, { timeoutMs: 15_000, everyMs: 50 }).catch(() => t.diagnostic('NOT BACK'));
  t.diagnostic(`back after ${performance.now() - began}`);
  await sleep(3000);
  t.diagnostic(await host.net.curl('http://127.0.0.1:9090/metrics').then((x) => x.split('\n').filter((l) => l.includes('mirror_settings')).join('\n')));
  t.diagnostic((await host.journal('spegel', CONFIGURATION, 'spegel-settings.service', 'spegel-settings.path')).split('\n').slice(-40).join('\n'));
  t.diagnostic(await host.systemctl('list-units', '--all', 'spegel*'));
});
