/** What this service has written and reads again, after a disk or another program had it. */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import fc from 'fast-check';
import { SpegelError } from '../../lib/base/errors.ts';
import { silentLogger as log } from '../../lib/base/log.ts';
import {
  commitJournal,
  JOURNAL_NAME,
  readJournal,
  stageJournal,
} from '../../lib/hosts/transaction/journal.ts';
import { Suspects } from '../../lib/peers/suspects.ts';
import { notedSockets, peerIdsOf } from '../../lib/port/port-note.ts';
import { listeningSockets } from '../../lib/port/sockets.ts';
import { fuzz, fuzzer } from './fuzzer.ts';
import { json, mutatedText } from './mutations.ts';

const directory = mkdtempSync(join(tmpdir(), 'spegel-fuzz-'));
after(() => rmSync(directory, { recursive: true }));
const write = (name: string, text: string) => writeFileSync(join(directory, name), text);

const suspect = fc.record({
  offences: fc.constantFrom(1, 6, -1, 1e308, 0.5),
  isSuspect: fc.boolean(),
  checkFrom: fc.constantFrom(0, Date.now(), 1e308, -1e308),
});
const TOKENS = ['"', '{', '}', '[', ']', 'null', '{"toString":1}', '1e999', '"__proto__":'];
const suspects = fc.oneof(
  mutatedText(
    fc
      .dictionary(fc.constantFrom('10.0.0.1', 'peer', '*', '__proto__'), suspect)
      .map((records) => JSON.stringify({ version: 1, records })),
    TOKENS,
  ),
  json,
);
const path = fc.constantFrom('a/hosts.toml', '../a', '__proto__', '');
const journal = fc.record({
  files: fc.dictionary(
    path,
    fc.record({
      body: fc.string(),
      mirrors: fc.array(fc.webUrl(), { maxLength: 2 }),
      modes: fc.array(fc.nat(0o777), { maxLength: 2 }),
      hadMode: fc.option(fc.nat(0o777), { nil: undefined }),
      setAside: fc.option(fc.string(), { nil: undefined }),
    }),
    { noNullPrototype: true },
  ),
  directories: fc.array(fc.string(), { maxLength: 2 }),
  roots: fc.array(fc.string(), { maxLength: 2 }),
  hostsPaths: fc.array(fc.string(), { maxLength: 2 }),
});
const journalText = fc.oneof(
  mutatedText(
    journal.map((value) => JSON.stringify({ version: 1, ...value })),
    TOKENS,
  ),
  json,
);
const note = fc.oneof(
  mutatedText(
    fc.constant(`{"pid":${process.pid},"peerId":"a","host":"","port":5000,"inodes":[1,2]}`),
    TOKENS,
  ),
  json,
  json.map((text) => `{"pid":${process.pid},"peerId":${text},"inodes":[${text}]}`),
);
const tcp = mutatedText(
  fc.constant(
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 123 1\n',
  ),
  ['0A', ':', ' ', '\n'],
);

fuzz(import.meta.filename, [
  fuzzer(
    'suspects.json: it is read or told of; nobody is a suspect for ever',
    suspects,
    async (text) => {
      write('suspects.json', text);
      const read = new Suspects({ log }, { dataDir: directory });
      await read.load();
      const lane = { peerId: 'peer', address: '10.0.0.1:5000' };
      read.has(lane);
      read.mayCheck(lane);
      read.clear(lane);
      assert.equal(read.isAccused(lane), false);
      read.accuse(lane);
      assert.equal(read.isAccused(lane), true);
      await read.flush();
    },
  ),

  fuzzer('journal: it is read, or ERR_HOSTS', journalText, (text) => {
    write(JOURNAL_NAME, text);
    try {
      const read = readJournal(directory, fs);
      for (const { body, modes } of Object.values(read.files)) {
        assert.equal(typeof body, 'string');
        assert.ok(modes.every(Number.isInteger));
      }
    } catch (error) {
      if (!(error instanceof SpegelError)) throw error;
      assert.equal(error.code, 'ERR_HOSTS');
    }
  }),

  fuzzer('journal: what is written is read', journal, (written) => {
    for (const name of [JOURNAL_NAME, 'next-journal.json'])
      rmSync(join(directory, name), { force: true });
    stageJournal(directory, written, fs);
    commitJournal(directory, fs);
    const plain = (value: unknown) => JSON.parse(JSON.stringify(value));
    assert.deepEqual(plain(readJournal(directory, fs)), plain(written));
  }),

  fuzzer('notes of ports: what is none is passed over', note, (text) => {
    write('1.json', text);
    for (const id of peerIdsOf(process.pid, directory)) assert.equal(typeof id, 'string');
    notedSockets(directory)({ ip: '::', port: 1, uid: 0, inode: 1, family: 6 });
  }),

  fuzzer('/proc/net/tcp: sockets, or ERR_PORT', tcp, (text) => {
    write('tcp', text);
    write('tcp6', '');
    try {
      listeningSockets(directory);
    } catch (error) {
      if (!(error instanceof SpegelError)) throw error;
      assert.equal(error.code, 'ERR_PORT');
    }
  }),
]);
