/** An environment file that is changed by `install`: what was asked for, and not one byte more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENVIRONMENT_HEAD, environmentFile } from '../../../cmd/installed/environment-file.ts';
import {
  editedEnvironment,
  headDigest,
  withHead,
} from '../../../lib/install/settings/environment-edit.ts';
import { parseEnvironmentFile } from '../../../lib/systemd/environment-syntax.ts';
import { ODD_ENVIRONMENT_FILE } from '../../support/odd-environment.ts';

const edited = (text: string, set: Record<string, string>) => editedEnvironment(text, set).text;

test('one line is changed, whatever stands around it', () => {
  const cases: [string, string, string][] = [
    ['in force', 'A=1\n ROUTER_ADDR = :1 \nB=2\n', 'A=1\n ROUTER_ADDR=:9\nB=2\n'],
    ['offered', '# help\n#ROUTER_ADDR=:5001\nB=2\n', '# help\nROUTER_ADDR=:9\nB=2\n'],
    [
      'offered and in force',
      '#ROUTER_ADDR=:5001\nROUTER_ADDR=:1\n',
      '#ROUTER_ADDR=:5001\nROUTER_ADDR=:9\n',
    ],
    [
      'twice: the last one wins',
      'ROUTER_ADDR=:1\nA=1\nROUTER_ADDR=:2\nB=2',
      'ROUTER_ADDR=:1\nA=1\nROUTER_ADDR=:9\nB=2',
    ],
    ['nowhere', 'A=1\n', 'A=1\nROUTER_ADDR=:9\n'],
    ['no newline at the end', 'A=1', 'A=1\nROUTER_ADDR=:9'],
    ['empty', '', 'ROUTER_ADDR=:9\n'],
    ['CRLF', '#A\r\nROUTER_ADDR=:1\r\nB="x\r\ny"\r\n', '#A\r\nROUTER_ADDR=:9\r\nB="x\r\ny"\r\n'],
    ['CRLF, nowhere', 'A="x\r\ny"\r\nB=1\r\n', 'A="x\r\ny"\r\nB=1\r\nROUTER_ADDR=:9\r\n'],
    ['over lines', 'ROUTER_ADDR="\\\n:1"\nB=2\n', 'ROUTER_ADDR=:9\nB=2\n'],
    ['in a quoted value', "A='\n#ROUTER_ADDR=:1\n'\n", "A='\n#ROUTER_ADDR=:1\n'\nROUTER_ADDR=:9\n"],
    [
      'a longer name',
      '#ROUTER_ADDRESS=:1\nMY_ROUTER_ADDR=2\n',
      '#ROUTER_ADDRESS=:1\nMY_ROUTER_ADDR=2\nROUTER_ADDR=:9\n',
    ],
    [
      'with the prefix, which wins',
      'SPEGEL_ROUTER_ADDR=:1\nROUTER_ADDR=:2\n',
      'SPEGEL_ROUTER_ADDR=:9\nROUTER_ADDR=:2\n',
    ],
    ['as it is', 'ROUTER_ADDR=":9" # x\n', 'ROUTER_ADDR=":9" # x\n'.replace('":9" # x', ':9')],
  ];
  for (const [name, before, after] of cases) {
    assert.equal(edited(before, { ROUTER_ADDR: ':9' }), after, name);
  }
});

test('what is set already changes nothing, and is not told', () => {
  const text = "#x\nROUTER_ADDR=':9'";
  assert.deepEqual(editedEnvironment(text, { ROUTER_ADDR: ':9' }), { text, edits: [] });
});

test('every other setting stays, in the oddest file and in our own', () => {
  const value = 'a b\' "c" \\d';
  const offered = `#ADVERTISE_ADDRESS=\n${ODD_ENVIRONMENT_FILE}`;
  for (const text of [offered, environmentFile({ ROUTER_ADDR: ':1' })]) {
    const was = parseEnvironmentFile(text);
    const now = parseEnvironmentFile(edited(text, { ADVERTISE_ADDRESS: value }));
    assert.deepEqual(now, { ...was, ADVERTISE_ADDRESS: value });
  }
});

test('a file that would take the line in is refused', () => {
  for (const text of ["A='never closed\n", 'A=1\\']) {
    assert.throws(() => edited(text, { ROUTER_ADDR: ':9' }), {
      code: 'ERR_INSTALL',
      message: /changes A:/,
    });
  }
});

test('the head of a former release is replaced, one that was edited is kept', () => {
  const former = '# former\n# head\n';
  const head = { text: '# new\n', known: [headDigest(former)] };
  assert.equal(withHead(`${former}\nA=1\n`, head), '# new\n\nA=1\n');
  assert.equal(withHead('# former\r\n# head\r\n\r\nA=1\r\n', head), '# new\r\n\r\nA=1\r\n');
  for (const text of ['# former\n# head, edited\n\nA=1\n', 'A=1\n', '']) {
    assert.equal(withHead(text, head), text);
  }
});

test('the head of this release is among those that the next one replaces', () => {
  assert.ok(
    ENVIRONMENT_HEAD.known.includes(headDigest(environmentFile())),
    headDigest(environmentFile()),
  );
  assert.equal(withHead(environmentFile(), ENVIRONMENT_HEAD), environmentFile());
});
