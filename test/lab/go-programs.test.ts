/**
 * The generations of containerd that are built: where one cannot be, the skipped test says which
 * and why.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { labMissing } from '../../lab/fleet/lab.ts';
import { run } from '../../lab/processes/exec.ts';
import {
  type BuiltVersion,
  buildMissing,
  builtPrograms,
  CONTAINERD_RELEASES,
} from '../../lab/programs/go-programs.ts';
import { LAB_DIR } from '../../lab/programs/programs.ts';

const versions = Object.keys(CONTAINERD_RELEASES) as BuiltVersion[];

for (const version of versions) {
  test(`containerd ${version} is the release that was asked for`, {
    skip: await labMissing(version),
  }, async () => {
    const { bin, exact } = builtPrograms(LAB_DIR)[version];
    for (const program of ['containerd', 'ctr', 'containerd-shim-runc-v2']) {
      const { stdout } = await run([join(bin, program), '-v']);
      assert.match(stdout, new RegExp(`\\bv?${exact.replaceAll('.', '\\.')}\\b`), program);
    }
  });
}

/** An empty directory for a lab, and an environment in which nothing can be fetched. */
async function offline(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-builds-'));
  const before = { ...process.env };
  Object.assign(process.env, { GOPROXY: 'off', GOFLAGS: '', GOMODCACHE: join(dir, 'mod') });
  t.after(async () => {
    process.env = before;
    await rm(dir, { recursive: true, force: true });
  });
  return dir;
}

test('without the module the reason is told, at once the second time', {
  skip: (await run(['go', 'version']).catch(() => undefined)) ? false : 'no Go on this machine',
}, async (t) => {
  const dir = await offline(t);
  delete process.env.LAB_CONTAINERD;
  for (const version of versions) {
    const reason = String(await buildMissing(dir, version));
    assert.ok(reason.startsWith(`no containerd ${CONTAINERD_RELEASES[version]}: go install said`));
    assert.match(reason, /GOPROXY=off/);
  }
  process.env.GOPROXY = 'http://127.0.0.1:1';
  assert.match(String(await buildMissing(dir, versions[0] ?? '2.4')), /GOPROXY=off/);
});
