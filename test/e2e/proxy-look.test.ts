/**
 * containerd's proxy is looked at whenever spegel.service starts, on a real systemd: a note of it
 * cannot be stale.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { spegel } from '../../lab/systemd/bare-host.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';
import { setProxy, told, untilTold, writeContainerdConfig } from '../support/proxied-host.ts';

const skip = (await labMissing()) || (await systemdMissing());

const ENV = 'etc/spegel/spegel.env';
const LOOK = '/run/spegel/containerd-proxy.env';
const NOTED_NONE = 'HTTP_PROXY=\nHTTPS_PROXY=\nNO_PROXY=\n';
/** Characters that a unit, the file between and a shell would each take for something else. */
const PROXY = `http://user:s3c%20r$e't"@proxy.corp:3128`;
const TOLD = 'http: none, https: http://user:***@proxy.corp:3128';
const DROP_IN = `Environment="HTTPS_PROXY=${PROXY.replace('%', '%%').replaceAll(/["\\]/g, '\\$&')}"`;
const SECRET = /s3c/;

test('a look at the proxy of containerd at each start', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 0 }, t);
  const host = await SystemdHost.create(lab, 'look', { isBare: true });
  const said: string[] = [];
  const look = async () => (await host.run(['cat', LOOK])).stdout;
  await writeContainerdConfig(host);
  await host.boot();
  await host.systemctl('enable', '--now', 'containerd');
  const { code, stdout, stderr } = await spegel(host, 'install');
  assert.equal(code, 0, stderr);
  said.push(stdout, stderr);

  await t.test('that there is none is seen, and holds until containerd is restarted', async () => {
    await untilTold(host, 'started', 'none');
    await host.untilActive();
    await host.systemctl('restart', 'containerd');
    await untilTold(host, 'proxy of containerd', 'unknown');
  });

  await t.test(
    'a proxy that it got since is seen at the next start, whatever is noted',
    async () => {
      await writeFile(host.path(ENV), NOTED_NONE);
      await setProxy(host, DROP_IN);
      await host.systemctl('restart', 'containerd');
      await host.systemctl('restart', 'spegel');
      await untilTold(host, 'started', TOLD);
      // One that comes when nobody looks is still better known than nothing.
      await host.systemctl('restart', 'containerd');
      await host.untilActive();
      assert.deepEqual(await told(host, 'proxy of containerd'), ['unknown']);
    },
  );

  await t.test('so is it after the boot', async () => {
    said.push(await host.journal());
    await host.powerOff();
    await host.boot();
    await untilTold(host, 'started', TOLD);
  });

  await t.test('a proxy that is noted does not win over what is seen', async () => {
    await writeFile(
      host.path(ENV),
      'HTTP_PROXY=http://old.corp:1\nhttps_proxy=http://old.corp:1\n',
    );
    await setProxy(host, '');
    await host.systemctl('restart', 'containerd');
    await host.systemctl('restart', 'spegel');
    await untilTold(host, 'started', 'none');
  });

  await t.test(
    'without containerd a noted proxy counts, and that none is noted does not',
    async () => {
      for (const [noted, told] of [
        ['HTTP_PROXY=http://a.corp:1\nHTTPS_PROXY=http://a.corp:1\n', 'http://a.corp:1'],
        [NOTED_NONE, 'unknown'],
      ] as const) {
        await writeFile(host.path(ENV), noted);
        await host.systemctl('stop', 'spegel', 'containerd');
        await host.systemctl('start', '--no-block', 'spegel');
        await untilTold(host, 'started', told);
        assert.equal(await look(), '');
      }
    },
  );

  await t.test('a frozen containerd holds the start up by two seconds at most', async () => {
    await host.systemctl('stop', 'spegel');
    await host.systemctl('start', 'containerd');
    await host.systemctl('kill', '--kill-whom=main', '--signal=STOP', 'containerd');
    const before = (await told(host, 'started')).length;
    await host.systemctl('start', '--no-block', 'spegel');
    await waitUntil('it is started', async () => (await told(host, 'started')).length > before);
    // Without its bound the look would take the five seconds that a call to containerd may take.
    const shown = await host.systemctl('show', 'spegel');
    const usOf = (name: string) =>
      Number(new RegExp(`^${name}TimestampMonotonic=(.*)$`, 'm').exec(shown)?.[1]);
    const ms = (usOf('ExecMainStart') - usOf('InactiveExit')) / 1_000;
    t.diagnostic(`the look took ${ms} ms`);
    assert.ok(ms > 1_500 && ms < 4_000, `${ms} ms`);
    assert.equal((await told(host, 'started')).at(-1), 'unknown');
    assert.equal((await host.state()).restarts, 0);
    await host.systemctl('kill', '--kill-whom=main', '--signal=CONT', 'containerd');
    await host.untilActive();
  });

  await t.test('what was seen is for root alone, and gone with the service', async () => {
    await setProxy(host, DROP_IN);
    await host.systemctl('restart', 'containerd');
    await host.systemctl('restart', 'spegel');
    await untilTold(host, 'started', TOLD);
    assert.match(await look(), SECRET);
    const before = (await told(host, 'started')).length;
    await host.systemctl('kill', '--kill-whom=main', '--signal=KILL', 'spegel');
    await waitUntil('it runs again', async () => (await told(host, 'started')).length > before);
    assert.equal((await told(host, 'started')).at(-1), TOLD);
    const { stdout } = await host.run(['stat', '-L', '-c', '%a %U', '/run/spegel', LOOK]);
    assert.match(stdout, /^700 \S+\n600 root\n$/);
    // `systemctl status` fails while a unit is starting.
    await host.untilActive();
    said.push(await host.systemctl('show', 'spegel'), await host.systemctl('status', 'spegel'));
    await host.systemctl('stop', 'spegel');
    await assert.rejects(host.run(['test', '-e', '/run/spegel']));
    said.push(await host.journal());
    const all = said.join('\n');
    assert.ok(!SECRET.test(all), 'the password was told');
    assert.ok(!all.includes('File exists'), 'the file of another start was there');
  });
});
