/**
 * Restarts without the hosts of the lists, on hosts set up anew, and with a data directory that
 * takes nothing more.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { EXECUTABLE } from '../../lab/executable.ts';
import { untilJoined } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { MIB } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { Meanwhile, Supply, seconds, told } from '../support/meanwhile.ts';
import { giveSole, untilPeers, untilPulled } from '../support/sole.ts';

const skip = await labMissing();
/** Labs of their own that mostly wait. */
const concurrency = 2;

/** Waits until this host has written so many peers to its cache. */
async function untilRemembered({ name, spegel }: LabHost, count: number): Promise<void> {
  const file = join(spegel.dataDir, 'peers.json');
  const isThere = async () => {
    const text = await readFile(file, 'utf8').catch(() => '{"peers":[]}');
    return (JSON.parse(text) as { peers: unknown[] }).peers.length >= count;
  };
  await waitUntil(`${name} remembers ${count} peers`, isThere, { timeoutMs: 30_000 });
}

/** The id that this host has told last. */
async function idOf({ spegel }: LabHost): Promise<string> {
  const lines = (await spegel.logs()).filter(({ msg }) => msg === 'router listens');
  return String(lines.at(-1)?.peer);
}

/** Lines for the administrator that tell of the data directory. */
async function complaints({ spegel }: LabHost) {
  return (await spegel.logs()).filter(
    ({ level, ...line }) =>
      (level === 'WARN' || level === 'ERROR') && JSON.stringify(line).includes('peers.json'),
  );
}

describe('restarts', { skip, concurrency }, () => {
  test('every host of the lists is gone: the peer cache leads back, and who has none waits', async (t) => {
    const lab = await Lab.create({ hosts: 5 }, t);
    const [first, second, restarted, stays, traceless] = lab.hosts as [
      LabHost,
      LabHost,
      LabHost,
      LabHost,
      LabHost,
    ];
    const bootstrap = [first.address, second.address];
    const start = (host: LabHost, flags = {}) => lab.startSpegel({ bootstrap, flags }, [host]);
    const kept = [first, second, restarted, stays];
    await Promise.all(kept.map((host) => start(host)));
    await untilJoined(kept, 3);
    await Promise.all(kept.map((host) => untilRemembered(host, 3)));
    const sole = await giveSole(lab, stays, 'sole');
    const supply = new Supply(lab, 'restarts');
    for (const host of [first, second]) await supply.giveTo(host, 2);

    const pulls = new Meanwhile([restarted, stays], supply);
    await Promise.all([first, second, restarted].map(({ spegel }) => spegel.kill()));
    await start(restarted);
    t.diagnostic(
      `by its peer cache: content found ${seconds(await untilPulled(restarted, sole))} after it was ready`,
    );
    await untilPeers([restarted, stays], 1);

    await start(traceless, { 'data-dir': '' });
    await waitUntil('it says that it is alone', async () =>
      (await traceless.spegel.logs()).some(({ msg }) => String(msg).startsWith('no peer reached')),
    );
    await start(first);
    const ms = await untilPulled(traceless, sole);
    t.diagnostic(
      `without a data directory: content found ${seconds(ms)} after a host of its list was back`,
    );
    await untilPeers([traceless, restarted, stays], 3);
    t.diagnostic(`meanwhile ${told(await pulls.end())}`);
  });

  test('a host set up anew has the address of the old one and another id', async (t) => {
    const lab = await Lab.create({ hosts: 4 }, t);
    const [first, anew, , late] = lab.hosts as [LabHost, LabHost, LabHost, LabHost];
    const early = lab.hosts.slice(0, 3);
    await lab.startSpegel({ bootstrap: [first.address] }, early);
    await untilJoined(early, 2);
    const oldId = await idOf(anew);
    await anew.spegel.kill();
    await rm(anew.spegel.dataDir, { recursive: true });
    const pulls = new Meanwhile([first, anew], new Supply(lab, 'anew'));
    await lab.startSpegel({ bootstrap: [first.address] }, [anew]);
    const sole = await giveSole(lab, anew, 'anew');
    t.diagnostic(`found under its new id after ${seconds(await untilPulled(first, sole))}`);
    assert.notEqual(await idOf(anew), oldId);
    // Its list knows nobody but the host that is no more.
    await lab.startSpegel({ bootstrap: [`${anew.spegel.multiaddr}/p2p/${oldId}`] }, [late]);
    t.diagnostic(
      `one who has the old id in its list finds it after ${seconds(await untilPulled(late, sole))}`,
    );
    t.diagnostic(`no table has the old one ${seconds(await untilPeers(lab.hosts, 3))} later`);
    t.diagnostic(`meanwhile ${told(await pulls.end())}`);
  });

  test('a data disk that is full from the start, or fills up, and a directory nobody may write to', async (t) => {
    const lab = await Lab.create({ hosts: 4 }, t);
    const [first, full, fills, barred] = lab.hosts as [LabHost, LabHost, LabHost, LabHost];
    const bootstrap = [first.address];
    await assertRefused(full);
    const { privateKey } = generateKeyPairSync('ed25519');
    const key = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await lab.startSpegel({ bootstrap, program: onFullDisk(full, key) }, [full]);
    await lab.startSpegel({ bootstrap, program: onDisk(fills, 'true') }, [fills]);
    // Root may write anywhere, unless it is told that it may not.
    const program = ['setpriv', '--bounding-set=-dac_override,-dac_read_search', EXECUTABLE];
    await lab.startSpegel({ bootstrap, program }, [barred]);
    await chmod(barred.spegel.dataDir, 0o500);
    const onItsDisk = join(`/proc/${fills.spegel.service.pid}/root`, fills.spegel.dataDir);
    await assert.rejects(writeFile(join(onItsDisk, 'filler'), Buffer.alloc(MIB)), /ENOSPC/);
    // Only now there is anything to write down.
    await lab.startSpegel({ bootstrap: [] }, [first]);
    const pulls = new Meanwhile(lab.hosts, new Supply(lab, 'disk'));
    await untilJoined(lab.hosts, 3);
    const sole = await giveSole(lab, full, 'disk');
    for (const host of [first, fills, barred]) await untilPulled(host, sole);
    for (const host of [full, fills, barred]) {
      const isTold = async () => (await complaints(host)).length > 0;
      await waitUntil(`${host.name} tells`, isTold, { timeoutMs: 30_000 });
    }
    t.diagnostic(`meanwhile ${told(await pulls.end())}`);
    for (const host of [full, fills, barred]) {
      const lines = await complaints(host);
      assert.equal(lines.length, 1, JSON.stringify(lines));
      assert.ok(host.spegel.running);
    }
  });
});

/**
 * The executable with a data directory of 16 KiB, which this process alone sees, prepared by a
 * script: `$1` is it.
 */
function onDisk({ spegel }: LabHost, script: string): string[] {
  const mount = 'mount -t tmpfs -o size=16k,mode=700 tmpfs "$1"';
  return ['sh', '-c', `${mount}; ${script}; shift; exec "$@"`, 'sh', spegel.dataDir, EXECUTABLE];
}

function onFullDisk(host: LabHost, key: string): string[] {
  const write = `umask 077; echo '${key}' >"$1/private.key"; head -c 1M /dev/zero 2>&- >"$1/filler"`;
  return onDisk(host, write);
}

/** A new host without room for a key does not start, and says why in one line. */
async function assertRefused(host: LabHost): Promise<void> {
  const script = 'head -c 1M /dev/zero 2>&- >"$1/filler"';
  const { service } = await launched(host, script);
  await service.exited;
  assert.equal(service.ended?.code, 1);
  assert.match(
    await service.tail(1),
    /data directory .*: expected a writable directory, got ENOSPC/,
  );
}

async function launched(host: LabHost, script: string) {
  await host.spegel.launch({
    containerdSocket: host.containerd.socket,
    program: onDisk(host, script),
  });
  return host.spegel;
}
