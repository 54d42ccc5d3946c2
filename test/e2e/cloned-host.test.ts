/**
 * Hosts made from one image, with the identity key that it brought along; and two daemons on one
 * host.
 */
import assert from 'node:assert/strict';
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { EXECUTABLE } from '../../lab/executable.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { Spegel } from '../../lab/fleet/spegel.ts';
import { run, waitUntil } from '../../lab/processes/exec.ts';

const skip = await labMissing();
const CLONED = /identity key was made for another machine/;
const CONFLICT = /another host has the identity of this one/;

/** Starts the daemon where /etc/machine-id is this host's own, as on a machine of its own. */
async function startOn(lab: Lab, host: LabHost, digit: string, bootstrap: readonly LabHost[]) {
  const file = join(host.dir, 'machine-id');
  await writeFile(file, `${digit.repeat(32)}\n`);
  const mount = `mount --bind ${file} /etc/machine-id && exec "$0" "$@"`;
  const program = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', mount, EXECUTABLE];
  const options = { program, bootstrap: bootstrap.map(({ address }) => address) };
  await lab.startSpegel(options, [host]);
}

async function linesOf({ spegel }: LabHost, message: RegExp) {
  return (await spegel.logs()).filter(({ msg }) => message.test(String(msg)));
}

async function idOf(host: LabHost): Promise<unknown> {
  return (await linesOf(host, /^router listens$/)).at(-1)?.peer;
}

const untilMetric = ({ name, spegel }: LabHost, metric: string, value: number) =>
  waitUntil(
    `${metric} of ${name} is ${value}`,
    async () => (await spegel.metric(metric)) === value,
    { timeoutMs: 60_000 },
  );

test('a golden image: copies get an identity of their own, or say that they have none', {
  skip,
}, async (t) => {
  const lab = await Lab.create({ hosts: 3 }, t);
  const [golden, copy, old] = lab.hosts as [LabHost, LabHost, LabHost];
  await startOn(lab, golden, '1', [copy, old]);
  const id = await idOf(golden);
  const { pid } = golden.spegel.service;

  await t.test('no second daemon starts on its data directory', async () => {
    const other = { 'registry-addr': ':6000', 'router-addr': ':6001', 'metrics-addr': ':6002' };
    const argv = Spegel.argv(golden.spegel.dataDir, { flags: other });
    await assert.rejects(run(golden.net.on(EXECUTABLE, ...argv)), {
      code: 1,
      message: new RegExp(`one of spegel with process id ${pid}, which runs; stop that`),
    });
    await golden.spegel.kill();
    await startOn(lab, golden, '1', [copy, old]);
    assert.equal(await idOf(golden), id);
  });

  await t.test('a copy of it on another machine makes a key of its own', async () => {
    await cp(golden.spegel.dataDir, copy.spegel.dataDir, { recursive: true });
    await startOn(lab, copy, '2', [golden]);
    const [line] = await linesOf(copy, CLONED);
    assert.equal(line?.level, 'WARN');
    assert.equal(line?.formerPeer, id);
    assert.equal(line?.peer, await idOf(copy));
    assert.notEqual(line?.peer, id);
    for (const host of [golden, copy]) await untilMetric(host, 'spegel_peers', 1);
  });

  await t.test(
    'one whose image was made by a former release is noticed by all it meets',
    async () => {
      await mkdir(old.spegel.dataDir, { recursive: true });
      const key = 'private.key';
      await cp(join(golden.spegel.dataDir, key), join(old.spegel.dataDir, key));
      await startOn(lab, old, '3', [copy]);
      for (const host of [golden, old]) await untilMetric(host, 'spegel_identity_conflict', 1);
      const [said] = await linesOf(old, CONFLICT);
      assert.equal(said?.level, 'WARN');
      assert.ok(JSON.stringify(said?.own).includes(old.address));
      assert.ok(String(said?.other).includes(golden.address));
      assert.match(String(said?.advice), new RegExp(`rm ${old.spegel.dataDir}/private.key`));
      assert.equal(await copy.spegel.metric('spegel_identity_conflict'), 0);
      assert.deepEqual(await linesOf(copy, CONFLICT), []);
    },
  );

  await t.test('with the advice taken, all meet', async () => {
    await old.spegel.stop();
    await rm(join(old.spegel.dataDir, 'private.key'));
    await startOn(lab, old, '3', [copy]);
    for (const host of lab.hosts) {
      await untilMetric(host, 'spegel_identity_conflict', 0);
      await untilMetric(host, 'spegel_peers', 2);
    }
    const files = (await readdir(old.spegel.dataDir)).filter((name) => name !== 'peers.json');
    assert.deepEqual(files.sort(), ['lock', 'machine-id', 'private.key']);
    for (const host of [golden, old]) assert.equal((await linesOf(host, CONFLICT)).length, 1);
  });
});
