import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseProbeEndpoint } from '../../../cmd/options/probe-endpoint.ts';
import { formatHostPort } from '../../../lib/base/address.ts';

const parsed = (text: string) =>
  parseProbeEndpoint(text).map(({ host, port }) => formatHostPort(host, port));

const right: Record<string, string[]> = {
  'spegel.example:8080': ['spegel.example:8080'],
  'a:8080,b:8080': ['a:8080', 'b:8080'],
  'a,b:8080': ['a:8080', 'b:8080'],
  ' a , b:8080, ': ['a:8080', 'b:8080'],
  'a b:8080': ['a:8080', 'b:8080'],
  'a:1,b,c:3': ['a:1', 'b:3', 'c:3'],
  '10.0.0.1,10.0.0.2:8080': ['10.0.0.1:8080', '10.0.0.2:8080'],
  '[fd00::1]:8080': ['[fd00::1]:8080'],
  '[FD00::0:1],[fd00::2]:8080': ['[fd00::1]:8080', '[fd00::2]:8080'],
  '[::1],localhost,127.0.0.1:1': ['[::1]:1', 'localhost:1', '127.0.0.1:1'],
  'a:1,A,a:1': ['a:1'],
  'a:1,a:2': ['a:1', 'a:2'],
  'node_1.example.:65535': ['node_1.example.:65535'],
};
for (const [text, expected] of Object.entries(right)) {
  test(`taken: ${text}`, () => assert.deepEqual(parsed(text), expected));
}

const wrong: Record<string, RegExp> = {
  '': /expected name:port such as .*, got ""/,
  ' , ': /expected name:port/,
  a: /expected a port at the last host, .*got "a"/,
  'a:8080,b': /expected a port at the last host, .*got "b"/,
  'a,b,c': /expected a port at the last host, .*got "a"/,
  'a:8080,[fd00::1]': /a port at the last host, .*got "\[fd00::1\]"/,
  'fd00::1:8080': /expected IPv6 in brackets such as \[fd00::1\]:8080, got "fd00::1:8080"/,
  'fd00::1,b:8080': /expected IPv6 in brackets/,
  '[fe80::1%eth0]:8080': /expected name:port/,
  ':8080': /got ":8080"/,
  'a:0': /got "a:0"/,
  'a:65536': /got "a:65536"/,
  'a:http': /got "a:http"/,
  '10.0.0.300:8080': /got "10\.0\.0\.300:8080"/,
  '0.0.0.0:8080': /got "0\.0\.0\.0:8080"/,
  '[::]:8080': /got "\[::\]:8080"/,
  '224.0.0.1:8080': /got "224/,
  'http://a:8080/healthz': /expected name:port .*got "http:/,
  'a/healthz:8080': /got "a\/healthz:8080"/,
  '[a]:8080': /got "\[a\]:8080"/,
};
for (const [text, message] of Object.entries(wrong)) {
  test(`refused: ${text || 'nothing'}`, () => {
    assert.throws(() => parseProbeEndpoint(text), { code: 'ERR_OPTION_VALUE', message });
  });
}

test('a list that is too long is refused, the longest that is not is taken', () => {
  const hosts = (count: number) => Array.from({ length: count }, (_, index) => `h${index}`).join();
  assert.equal(parsed(`${hosts(4095)},last:1`).length, 4096);
  assert.throws(() => parseProbeEndpoint(`${hosts(4096)},last:1`), /expected at most 4096 hosts/);
});
