import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openNotifySocket } from '../../lib/systemd/notify-socket.ts';
import { NotifyReceiver } from '../support/notify-receiver.ts';

const dir = mkdtempSync(join(tmpdir(), 'spegel-notify-'));
after(() => rmSync(dir, { recursive: true }));
const LONGEST = join(dir, 'x'.repeat(107 - dir.length - 1));

const names = {
  'a path': join(dir, 'a'),
  'an abstract name': `@${dir}/b`,
  'the longest path': LONGEST,
};
for (const [what, name] of Object.entries(names)) {
  test(`messages arrive as they are: ${what}`, (t) => {
    const receiver = new NotifyReceiver(name);
    t.after(() => receiver.close());
    const send = openNotifySocket(name);
    assert.ok(send('READY=1\nSTATUS=größer'));
    assert.ok(send('WATCHDOG=1'));
    assert.deepEqual(receiver.read(), ['READY=1\nSTATUS=größer', 'WATCHDOG=1']);
  });
}

test('nobody there, or gone meanwhile: false, and again heard when somebody is', (t) => {
  const name = `@${dir}/c`;
  const send = openNotifySocket(name);
  assert.equal(send('READY=1'), false);
  const receiver = new NotifyReceiver(name);
  t.after(() => receiver.close());
  assert.equal(send('READY=1'), true);
});

test('a manager that does not read does not hold us up', (t) => {
  const name = `@${dir}/d`;
  const receiver = new NotifyReceiver(name);
  t.after(() => receiver.close());
  const send = openNotifySocket(name);
  let sent = 0;
  while (send('WATCHDOG=1') && sent < 100_000) sent += 1;
  assert.ok(sent > 0 && sent < 100_000, `${sent} sent`);
});

for (const name of ['', '/', '@', 'relative', 'vsock:2:1234', `${LONGEST}y`]) {
  test(`refused: ${JSON.stringify(name.slice(0, 20))}`, () => {
    assert.throws(() => openNotifySocket(name), /expected a path|longer than 107/);
  });
}
