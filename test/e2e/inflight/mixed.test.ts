/**
 * Not every host of the fleet shares what it downloads: some have it switched off, some run a build
 * without it.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { bytesOf } from '../../../lab/fleet/fleet.ts';
import {
  countCopies,
  endOf,
  freshImage,
  prepareFreshImage,
  pullTogether,
  SHARED_CORES_FLAGS,
  startPulls,
  untilSettled,
} from '../../../lab/fleet/inflight-pulls.ts';
import { Lab, labMissing } from '../../../lab/fleet/lab.ts';
import { MIB } from '../../../lab/images/images.ts';
import {
  assertShared,
  gotFromUpstream,
  sumOf,
  untilEachHas,
} from '../../support/inflight-watch.ts';

const execute = promisify(execFile);
const ROOT = join(import.meta.dirname, '../../..');
/** The last commit without in-flight sharing. */
const OLD_COMMIT = '7a0f946e779f2fe5b6ca477ae61cac9843651d83';
const skip = await labMissing();
const timeoutMs = 60_000;
/** The upstream has enough for all: who goes there by himself must not starve the one who leads. */
const LINKS = { links: '50mbit', upstream: '400mbit' };

/** Why the build before in-flight sharing cannot be made here, or false. */
async function oldBuildMissing(): Promise<string | false> {
  if (skip !== false) return skip;
  return execute('git', ['-C', ROOT, 'cat-file', '-e', `${OLD_COMMIT}^{commit}`]).then(
    () => false,
    () => `this clone lacks the commit ${OLD_COMMIT}`,
  );
}

/** Bundles that commit; returns how to run it. */
async function buildOld(dir: string): Promise<string[]> {
  await mkdir(dir);
  const archive = join(dir, 'old.tar');
  await execute('git', ['-C', ROOT, 'archive', '--output', archive, OLD_COMMIT]);
  await execute('tar', ['-C', dir, '-xf', archive]);
  await symlink(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
  const file = join(dir, 'old.cjs');
  const script = `import { bundle } from './scripts/bundle.ts'; await bundle(process.cwd(), '${file}');`;
  await execute(process.execPath, ['--input-type=module', '--eval', script], { cwd: dir });
  return [process.execPath, file];
}

test('two of six hosts run with --inflight=false: the others share as ever', {
  skip,
}, async (t) => {
  const lab = await Lab.create({ hosts: 6 }, t);
  const [without, sharing] = [lab.hosts.slice(0, 2), lab.hosts.slice(2)];
  await Promise.all([
    lab.startSpegel({ flags: { ...SHARED_CORES_FLAGS, inflight: false } }, without),
    lab.startSpegel({ flags: SHARED_CORES_FLAGS }, sharing),
  ]);
  const fresh = await prepareFreshImage(lab, LINKS, { layers: 2, layerMiB: 8 });

  const result = await pullTogether(lab, fresh.reference, fresh.image, { timeoutMs });

  const got = (await gotFromUpstream(lab, sharing)) / bytesOf(fresh.image);
  t.diagnostic(
    `copies ${result.copies.toFixed(2)}, ${got.toFixed(2)} of them for those that share`,
  );
  t.diagnostic(`ms ${result.tookMs.map((ms) => ms?.toFixed())}`);
  await assertShared(lab.hosts, fresh, result, 2 + 1.5);
  assert.ok(got < 1.5, `${got} copies for those that share`);
  assert.equal(await sumOf(without, 'spegel_inflight_served_bytes_total'), 0);
  assert.equal(await sumOf(without, 'spegel_inflight_leads_total'), 0);
  assert.ok((await sumOf(sharing, 'spegel_inflight_served_bytes_total')) > 0);
});

test('half of the hosts run the build before, and are replaced one by one while all pull', {
  skip: await oldBuildMissing(),
}, async (t) => {
  const lab = await Lab.create({ hosts: 6 }, t);
  const program = await buildOld(join(lab.dir, 'old'));
  const [old, sharing] = [lab.hosts.slice(0, 3), lab.hosts.slice(3)];
  await Promise.all([
    lab.startSpegel({ program, flags: SHARED_CORES_FLAGS }, old),
    lab.startSpegel({ flags: SHARED_CORES_FLAGS }, sharing),
  ]);
  const fresh = await prepareFreshImage(lab, LINKS, { layers: 2, layerMiB: 12 });
  const copies = await countCopies(lab, fresh.image);

  const pulls = startPulls(lab, fresh.reference, { timeoutMs });
  await untilEachHas(lab.hosts, fresh.layers[0] ?? '', MIB);
  assert.equal(await sumOf(old, 'spegel_inflight_leads_total'), 0, 'the old build knows no leads');
  for (const host of old) {
    await host.spegel.stop();
    await lab.startSpegel({ flags: SHARED_CORES_FLAGS }, [host]);
  }
  const end = await endOf(pulls);

  const sent = await copies();
  const got = (await gotFromUpstream(lab, sharing)) / bytesOf(fresh.image);
  t.diagnostic(`copies ${sent.toFixed(2)}, ${got.toFixed(2)} of them for the new ones`);
  t.diagnostic(`ms ${end.tookMs.map((ms) => ms?.toFixed())}`);
  await assertShared(lab.hosts, fresh, { ...end, copies: sent }, 3 + 1.8);
  assert.ok(got < 1.8, `${got} copies for the new ones`);
  assert.ok((await sumOf(sharing, 'spegel_inflight_served_bytes_total')) > 0);

  const next = await freshImage(lab, 'after', { layers: 2, layerMiB: 4 });
  await untilSettled(lab);
  const after = await pullTogether(lab, next.reference, next.image, { timeoutMs });
  t.diagnostic(`all replaced: copies ${after.copies.toFixed(2)}`);
  await assertShared(lab.hosts, next, after, 1.5);
});
