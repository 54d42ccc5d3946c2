/**
 * containerd's proxy on a real systemd: found by `spegel install`, noted, told, and no password of
 * it anywhere.
 */
import assert from 'node:assert/strict';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { spegel } from '../../lab/systemd/bare-host.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';
import { parseEnvironmentFile } from '../../lib/systemd/environment-syntax.ts';
import { ODD_ENVIRONMENT, ODD_ENVIRONMENT_FILE } from '../support/odd-environment.ts';
import {
  containerdConfig,
  setProxy,
  untilTold,
  writeContainerdConfig,
} from '../support/proxied-host.ts';

const skip = (await labMissing()) || (await systemdMissing());

const ENV = 'etc/spegel/spegel.env';
const CONTAINERD_ENV = 'etc/containerd/proxy.env';
const SECRET = /s3c/;
/** `%` is for the unit to double, quotes and backslash for the file. */
const PROXY = `http://user:s3c%20r$e't@proxy.corp:3128`;
const TOLD = 'http://user:***@proxy.corp:3128';
/** As k3s hands its variables on: those with CONTAINERD_ win, and names of its own are added. */
const K3S = `#!/bin/sh
export HTTPS_PROXY="$CONTAINERD_HTTPS_PROXY" NO_PROXY="$NO_PROXY,10.42.0.0/16"
unset CONTAINERD_HTTPS_PROXY
containerd --config /etc/k3s.toml --root /var/lib/k3s --state /run/k3s/state
`;

test('the proxy of containerd on a real systemd', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 0 }, t);
  const host = await SystemdHost.create(lab, 'proxy', { isBare: true });
  const said: string[] = [];
  const call = async (...words: string[]) => {
    const output = await spegel(host, ...words);
    said.push(output.stdout, output.stderr);
    return output;
  };
  const check = async () => {
    const { code, stdout } = await call('install', '--check', '--json');
    const findings = JSON.parse(stdout).findings as Record<string, string>[];
    // That it has no peers is noted each time, and that nobody said that it is to be open.
    const others = ['peers', 'network'];
    return { code, findings: findings.filter(({ about }) => !others.includes(about ?? '')) };
  };
  const noted = async () => {
    const text = await readFile(host.path(ENV), 'utf8');
    const { OPEN_NETWORK: _, ...proxy } = parseEnvironmentFile(text);
    return proxy;
  };
  await writeContainerdConfig(host);
  await writeFile(
    host.path(CONTAINERD_ENV),
    `# of the administrator\nHTTPS_PROXY="${PROXY.replace('$', '\\$')}"\nno_proxy=.corp,\\\n10.0.0.0/8\n`,
  );
  await host.override(
    'containerd.service',
    `[Service]\nEnvironment="HTTP_PROXY=${PROXY.replace('%', '%%')}"\nEnvironmentFile=/${CONTAINERD_ENV}\nEnvironmentFile=-/etc/none.env\n`,
  );
  await host.boot();
  await host.systemctl('enable', '--now', 'containerd');

  await t.test('systemd reads a file as we do', async () => {
    await writeFile(host.path('etc/odd.env'), ODD_ENVIRONMENT_FILE);
    const words = ['systemd-run', '--pipe', '--wait', '-p', 'EnvironmentFile=/etc/odd.env'];
    const { stdout } = await host.run([...words, 'cat', '/proc/self/environ']);
    const entries = stdout.split('\0').map((entry) => /^([^=]*)=(.*)$/s.exec(entry) ?? []);
    const real = Object.fromEntries(entries.map(([, name = '', value]) => [name, value]));
    for (const [name, value] of Object.entries(ODD_ENVIRONMENT)) assert.equal(real[name], value);
    for (const name of ['A1', 'A2', 'P', 'X']) assert.equal(real[name], undefined);
  });

  await t.test('a new file notes it, for root alone', async () => {
    const { code, stderr } = await call('install');
    assert.equal(code, 0, stderr);
    assert.ok(stderr.includes(`note: containerd has the proxy ${TOLD}: noted in`), stderr);
    assert.deepEqual(await noted(), {
      HTTP_PROXY: PROXY,
      HTTPS_PROXY: PROXY,
      NO_PROXY: '.corp,10.0.0.0/8',
    });
    assert.equal((await stat(host.path(ENV))).mode & 0o777, 0o600);
    await untilTold(host, 'started', TOLD);
    assert.deepEqual(await check(), { code: 0, findings: [] });
  });

  await t.test('another one in the unit is told before and after the restart', async () => {
    await setProxy(host, 'Environment=https_proxy=user:s3cret@other.corp:3128');
    const before = await check();
    assert.deepEqual(
      [before.code, before.findings.map(({ about }) => about)],
      [0, ['proxy-restart']],
    );
    assert.ok(before.findings[0]?.message?.includes('https: http://user:***@other.corp:3128'));
    await host.systemctl('restart', 'containerd');
    await waitUntil('the daemon is ready again', () => host.answers('/readyz'));
    const { code, findings } = await check();
    assert.deepEqual([code, findings.map(({ about }) => about)], [3, ['proxy']]);
    assert.ok(findings[0]?.lines?.includes('HTTPS_PROXY=http://user:***@other.corp:3128'));
    const written = 'HTTPS_PROXY=user:s3cret@other.corp:3128\nHTTP_PROXY=\nNO_PROXY=\n';
    await writeFile(host.path(ENV), written, { mode: 0o644 });
    await host.run(['chmod', '644', `/${ENV}`]);
    assert.deepEqual(
      (await check()).findings.map(({ lines }) => lines),
      [['chmod 600 /etc/spegel/spegel.env']],
    );
    await host.run(['chmod', '600', `/${ENV}`]);
    assert.deepEqual((await check()).code, 0);
    await host.systemctl('restart', 'spegel');
    await untilTold(host, 'started', 'http: none, https: http://user:***@other.corp:3128');
  });

  await t.test('that there is none is not noted, but seen', async () => {
    await setProxy(host, '');
    await host.systemctl('restart', 'containerd');
    await rm(host.path(ENV));
    assert.equal((await call('install')).code, 0);
    assert.deepEqual(await noted(), {});
    assert.equal((await stat(host.path(ENV))).mode & 0o777, 0o644);
    await host.systemctl('restart', 'spegel');
    await untilTold(host, 'started', 'none');
    assert.deepEqual(await check(), { code: 0, findings: [] });
  });

  await t.test('that of k3s, whose CONTAINERD_HTTPS_PROXY wins', async () => {
    await host.systemctl('disable', '--now', 'containerd');
    await writeFile(
      host.path('etc/k3s.toml'),
      containerdConfig('/run/k3s/containerd/containerd.sock'),
    );
    await writeFile(host.path('usr/local/bin/k3s'), K3S, { mode: 0o755 });
    await writeFile(
      host.path('etc/systemd/system/k3s.service.env'),
      `HTTPS_PROXY=http://k3s.corp:1\nCONTAINERD_HTTPS_PROXY='${PROXY.replace("'", '')}'\nNO_PROXY=.corp\n`,
    );
    await writeFile(
      host.path('etc/systemd/system/k3s.service'),
      '[Service]\nEnvironmentFile=-/etc/systemd/system/k3s.service.env\nExecStart=/usr/local/bin/k3s\n',
    );
    await host.systemctl('daemon-reload');
    await host.systemctl('start', 'k3s');
    const socket = '/run/k3s/containerd/containerd.sock';
    await waitUntil('it listens', () =>
      host.run(['test', '-S', socket]).then(
        () => true,
        () => false,
      ),
    );
    await rm(host.path(ENV));
    const { code, stderr } = await call('install', `--containerd-sock=${socket}`);
    assert.equal(code, 0, stderr);
    const { HTTP_PROXY, HTTPS_PROXY, NO_PROXY } = await noted();
    assert.deepEqual(
      [HTTP_PROXY, HTTPS_PROXY, NO_PROXY],
      [undefined, PROXY.replace("'", ''), '.corp,10.42.0.0/16'],
    );
    await host.systemctl('restart', 'spegel');
    await untilTold(host, 'started', `http: none, https: ${TOLD}`);
    said.push(await host.systemctl('show', 'spegel'));
    const about = (await check()).findings.map((finding) => finding.about);
    assert.ok(!about.includes('proxy') && !about.includes('proxy-restart'), about.join());
  });

  await t.test(
    'the password was told to nobody, not when all is taken away again either',
    async () => {
      said.push(await host.journal());
      assert.equal((await call('uninstall', '--purge')).code, 0);
      said.push(await host.journal());
      assert.doesNotMatch(said.join('\n'), SECRET);
    },
  );
});
