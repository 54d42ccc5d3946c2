/** Many registries on a disk that turns: what a run waits for. */
import assert from 'node:assert/strict';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { cleanUpMirrors, configureMirrors } from '../../lib/hosts/mirrors.ts';
import { DISK } from '../../lib/hosts/transaction/disk.ts';
import { ALL, CertsDirectory } from './support.ts';
import { interceptedDisk } from './transaction/mortal-disk.ts';

const REGISTRIES = 40;
const names = Array.from({ length: REGISTRIES }, (_, n) => `r${n}.example:5000`);
/** The journals, certs.d and the work directory, and what makes and removes that. */
const MORE = 20;

for (const isNew of [false, true]) {
  const of = isNew ? 'no directory yet' : 'a hosts.toml';
  test(`it waits for the disk once for each file and directory: ${of}`, async (t) => {
    const text = '[host."https://harbor.corp"]\n';
    const files = names.map((name) => [join(name, 'hosts.toml'), text]);
    const certs = CertsDirectory.make(t, isNew ? {} : Object.fromEntries(files));
    const settings = isNew
      ? { ...ALL, isForAll: false, registries: names.map((host) => ({ host, url: undefined })) }
      : ALL;
    const calls: string[] = [];
    const disk = interceptedDisk((name, call, args) => {
      const to = basename(String(args[1] ?? args[0]));
      // The hosts.toml of a registry, or its whole directory, takes its place.
      const isChange = name === 'renameSync' && (to === 'hosts.toml' || names.includes(to));
      if (name === 'fsyncSync' || isChange) calls.push(isChange ? 'change' : name);
      return Reflect.apply(call, DISK, args);
    });
    const { signal } = new AbortController();
    const waits = () => calls.filter((name) => name === 'fsyncSync').length;
    const assertAtOnce = () => {
      const changes = calls.slice(calls.indexOf('change'), calls.lastIndexOf('change'));
      assert.ok(changes.length >= REGISTRIES - 1);
      assert.ok(!changes.includes('fsyncSync'), 'it waits between two changes');
    };

    await configureMirrors([certs.path], settings, { signal, disk });
    t.diagnostic(`configuration: ${waits()} waits`);
    assert.ok(waits() <= 2 * REGISTRIES + MORE, `${waits()} waits`);
    assertAtOnce();

    calls.length = 0;
    await cleanUpMirrors([certs.path], { signal, disk });
    t.diagnostic(`cleanup: ${waits()} waits`);
    assert.ok(waits() <= REGISTRIES + MORE, `${waits()} waits`);
    if (!isNew) assertAtOnce();
  });
}
