/**
 * Another program where containerd would ask Spegel, on a real systemd: the hardened unit of the
 * settings sees it, and says so.
 */
import assert from 'node:assert/strict';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { CommandError, waitUntil } from '../../lab/processes/exec.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';

const skip = (await labMissing()) || (await systemdMissing());

const CONFIGURATION = 'spegel-configuration.service';
const ENV = 'etc/spegel/spegel.env';

test('another program on the port, on a real systemd', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 0 }, t);
  const host = await SystemdHost.create(lab, 'foreign');
  await host.addRegistry('quay.io');
  const bare = (await host.settings())['quay.io']?.text;
  const text = async () => (await host.settings())['quay.io']?.text ?? '';
  const plain = await readFile(host.path(ENV), 'utf8');
  const restart = () => host.systemctl('restart', 'spegel', CONFIGURATION).catch(() => {});
  /** Somebody without rights who listens. */
  const listen = async (port: number, unit: string) => {
    const script = `use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => ${port}, Listen => 5) or die; sleep`;
    await host.run(['systemd-run', '--uid=nobody', `--unit=${unit}`, 'perl', '-e', script]);
    const find = ['ss', '-Hltn', `sport = :${port}`];
    await waitUntil('it listens', async () => (await host.run(find)).stdout !== '');
  };
  const settles = async (state: string) => {
    const is = async () => (await host.state(CONFIGURATION)).active === state;
    await waitUntil(`${CONFIGURATION} is ${state}`, is, { timeoutMs: 30_000, everyMs: 200 });
  };
  const byHand = async (...flags: string[]) => {
    const argv = ['/usr/local/bin/spegel', 'configuration', ...flags];
    try {
      return { code: 0, ...(await host.run(argv)) };
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      return error;
    }
  };
  await host.boot();
  await host.systemctl('start', 'containerd');

  await t.test('the daemon says which port it holds, and the unit believes it', async () => {
    await host.systemctl('start', 'spegel');
    await settles('active');
    assert.match(await text(), /127\.0\.0\.1:5000/);
    const { stdout } = await host.run(['sh', '-c', 'cat /run/spegel/*.json; ls -l /run/spegel/']);
    t.diagnostic(stdout);
    const { port, peerId, inodes } = JSON.parse(stdout.split('\n')[0] ?? '');
    assert.deepEqual([port, inodes.length], [5000, 1]);
    assert.match(peerId, /^12D3/);
    const holds = await host.run(['ss', '-Hltne', 'sport = :5000']);
    assert.match(holds.stdout, new RegExp(`ino:${inodes[0]}\\b`));
  });

  await t.test('a target that another program holds is refused, and the settings go', async () => {
    await listen(5050, 'other');
    const { hostname } = JSON.parse(
      (await host.run(['sh', '-c', 'echo "{\\"hostname\\":\\"$(uname -n)\\"}"'])).stdout,
    );
    for (const name of ['127.0.0.1', 'localhost', host.net.address, hostname, '127.9.9.9']) {
      const line = `MIRROR_TARGETS=http://127.0.0.1:5000,http://${name}:5050\n`;
      await writeFile(host.path(ENV), `${plain}${line}`);
      await host.systemctl('restart', CONFIGURATION).catch(() => {});
      await settles('failed');
      assert.equal(await text(), bare, name);
      const said = await host.journal(CONFIGURATION);
      const last = said
        .trim()
        .split('\n')
        .filter((one) => one.startsWith('spegel: '))
        .at(-1);
      assert.ok(
        last?.includes(`listen at http://${name}:5050, got a program of user nobody`),
        said,
      );
    }
    t.diagnostic(
      await host.journal(CONFIGURATION).then((said) => said.split('\n').slice(-6).join('\n')),
    );
    const { code, stderr } = await byHand(`--mirror-targets=http://${host.net.address}:5050`);
    assert.equal(code, 4);
    assert.match(stderr, /got perl \(pid \d+\), and containerd would take images from it; stop it/);
    assert.equal(await text(), bare);
  });

  await t.test(
    'install says so before, and knows the daemon of a release that says nothing',
    async () => {
      const strangers = async () => {
        const argv = ['/usr/local/bin/spegel', 'install', '--check', '--json'];
        const { stdout } = await host.run(argv).catch((error: CommandError) => error);
        const { findings } = JSON.parse(stdout) as {
          findings: { about: string; message: string }[];
        };
        return findings.filter(({ about }) => about === 'mirror-targets').map((one) => one.message);
      };
      const [message, ...more] = await strangers();
      assert.match(message ?? '', /listen at http:\/\/127\.9\.9\.9:5050, got perl \(pid \d+\)/);
      assert.deepEqual(more, []);
      await writeFile(host.path(ENV), plain);
      await host.run(['sh', '-c', 'rm /run/spegel/*.json']);
      assert.deepEqual(await strangers(), []);
      // systemd holds the port for it, whatever it says itself.
      assert.equal((await byHand('--dry-run')).code, 0);
    },
  );

  await t.test('another host at that port is asked as before', async () => {
    const { code, stderr } = await byHand('--dry-run', '--mirror-targets=http://192.0.2.1:5050');
    assert.equal(code, 0, stderr);
  });

  await t.test('the target follows the port of the registry, whatever has the former', async () => {
    await writeFile(host.path(ENV), `${plain}REGISTRY_ADDR=:5555\n`);
    await restart();
    // systemd holds the former port still: anybody could take the new one while the daemon
    // restarts.
    await settles('failed');
    assert.match(await host.journal(CONFIGURATION), /expected systemd to hold the port of/);
    await host.run(['/usr/local/bin/spegel', 'install']);
    await listen(5000, 'former');
    await settles('active');
    assert.match(await text(), /127\.0\.0\.1:5555/);
    assert.doesNotMatch(await text(), /:5000/);
  });

  await t.test('a daemon that was killed leaves nothing behind that helps another', async () => {
    await appendFile(host.path(ENV), 'TAG_SOURCE=no-such\n');
    await host.systemctl('kill', '--signal=KILL', 'spegel');
    await settles('inactive').catch(() => settles('failed'));
    assert.equal(await text(), bare);
    await host.systemctl('stop', 'spegel');
    await listen(5555, 'thief');
    const { code, stderr } = await byHand('--registry-addr=:5555');
    assert.equal(code, 4);
    assert.match(stderr, /got perl \(pid \d+\)/);
    await host.systemctl('stop', 'thief', 'former', 'other');
  });

  await t.test(
    'systemd counts when it holds the port for Spegel, and for nobody else',
    async () => {
      for (const [name, port] of [
        ['spegel', 5000],
        ['docker-registry', 5999],
      ] as const) {
        const path = `etc/systemd/system/${name}.socket`;
        const service = 'Service=dummy.service';
        await writeFile(host.path(path), `[Socket]\nListenStream=${port}\n${service}\n`);
      }
      const dummy = '[Service]\nExecStart=/bin/sleep 60\n';
      await writeFile(host.path('etc/systemd/system/dummy.service'), dummy);
      await host.systemctl('daemon-reload');
      await host.systemctl('start', 'spegel.socket', 'docker-registry.socket');
      const own = await byHand();
      assert.equal(own.code, 0, own.stderr);
      assert.match(await text(), /127\.0\.0\.1:5000/);
      const other = await byHand('--mirror-targets=http://127.0.0.1:5999');
      assert.equal(other.code, 4);
      assert.match(other.stderr, /got systemd \(pid 1\)/);
    },
  );
});
