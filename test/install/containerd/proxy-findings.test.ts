/**
 * What an installation says of containerd's proxy, and what it writes; the real units are in
 * test/e2e.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environmentFile } from '../../../cmd/installed/environment-file.ts';
import { changesAtRestart, type FoundProxy } from '../../../lib/install/containerd/find-proxy.ts';
import { proxyAdvice, proxyNote } from '../../../lib/install/containerd/proxy-findings.ts';
import { tagSourceNote } from '../../../lib/install/settings/tag-source-findings.ts';
import { assignments } from '../../../lib/install/system/unit-environment.ts';
import { proxyOf } from '../../../lib/proxy/containerd-proxy.ts';
import type { Variables } from '../../../lib/proxy/go-proxy.ts';
import { parseEnvironmentFile } from '../../../lib/systemd/environment-syntax.ts';

const PROXY = {
  HTTP_PROXY: `http://user:s3c$r%t'"\\@proxy.corp:3128`,
  HTTPS_PROXY: 'http://user:s3cret@proxy.corp:3128',
  NO_PROXY: '.corp,10.0.0.0/8',
};
const NONE = { HTTP_PROXY: '', HTTPS_PROXY: '', NO_PROXY: '' };

const found = (running: Variables | undefined, unit = running, name = 'containerd.service') => ({
  running: running && proxyOf(running),
  unit: unit && { name, proxy: proxyOf(unit) },
});

test('what is noted in a new file is what a service with it has', () => {
  for (const [environment, noted] of [
    [PROXY, PROXY],
    [{ https_proxy: 'p:1' }, { HTTPS_PROXY: 'p:1' }],
    [{ PATH: '/bin' }, {}],
  ]) {
    const text = environmentFile(proxyNote(found(environment)));
    assert.deepEqual(parseEnvironmentFile(text), noted);
  }
  assert.deepEqual(parseEnvironmentFile(environmentFile(proxyNote(undefined))), {});
});

test('a unit without a proxy is no proof that containerd has none, one with a proxy counts', () => {
  assert.deepEqual(proxyNote(found(undefined, {})), {});
  const unit = { HTTPS_PROXY: 'http://p:1' };
  assert.equal(proxyNote(found(undefined, unit)).HTTPS_PROXY, 'http://p:1');
});

/** What was found, what the file there sets, and kind, subject and lines of each finding. */
const CASES: Record<string, [FoundProxy | undefined, Variables | undefined, unknown[]]> = {
  'containerd does not answer': [undefined, {}, []],
  'a new file, no proxy': [found({}), undefined, []],
  'a new file, a proxy': [found({ HTTPS_PROXY: 'p:1' }), undefined, [['note', 'proxy', []]]],
  'noted as it is': [found(PROXY), PROXY, []],
  'none is noted, no proxy': [found({}), NONE, []],
  'nothing noted, no proxy': [found({}), {}, []],
  'a proxy that is not noted': [
    found({ https_proxy: 'p:1', no_proxy: '.corp' }),
    {},
    [
      [
        'advice',
        'proxy',
        ['HTTP_PROXY=', 'HTTPS_PROXY=p:1', 'NO_PROXY=.corp', 'systemctl restart spegel'],
      ],
    ],
  ],
  'none is noted, and there is one, with a password': [
    found({ HTTPS_PROXY: 'http://u:s3cret@p:1' }),
    NONE,
    [
      [
        'advice',
        'proxy',
        [
          '# with the password that containerd has, in place of ***',
          'HTTP_PROXY=',
          'HTTPS_PROXY=http://u:***@p:1',
          'NO_PROXY=',
          'chmod 600 /etc/spegel/spegel.env',
          'systemctl restart spegel',
        ],
      ],
    ],
  ],
  'one is noted, and there is none': [
    found({}),
    { HTTPS_PROXY: 'p:1' },
    [['advice', 'proxy', ['HTTP_PROXY=', 'HTTPS_PROXY=', 'NO_PROXY=', 'systemctl restart spegel']]],
  ],
  'the unit was changed since': [
    found({}, { HTTPS_PROXY: 'p:1' }),
    NONE,
    [['note', 'proxy-restart', ['systemctl restart containerd.service', 'spegel install --check']]],
  ],
  'nothing can be learned, nothing is noted': [
    found(undefined, {}),
    {},
    [
      [
        'note',
        'proxy',
        ['HTTP_PROXY=…', 'HTTPS_PROXY=…', 'NO_PROXY=…', 'systemctl restart spegel'],
      ],
    ],
  ],
  'nothing can be learned, a proxy is noted': [found(undefined, {}), PROXY, []],
};

for (const [name, [proxy, installed, expected]] of Object.entries(CASES)) {
  test(`advice: ${name}`, () => {
    const findings = proxyAdvice(proxy, installed);
    assert.deepEqual(
      findings.map(({ kind, about, lines }) => [kind, about, lines]),
      expected,
    );
    assert.doesNotMatch(JSON.stringify(findings), /s3c/);
  });
}

test('what k3s adds to NO_PROXY is no change of its unit', () => {
  const [running, unit] = [
    { HTTPS_PROXY: 'p:1', NO_PROXY: '.corp,10.42.0.0/16' },
    { HTTPS_PROXY: 'p:1', NO_PROXY: '.corp' },
  ];
  assert.equal(changesAtRestart(found(running, unit, 'k3s-agent.service')), false);
  assert.equal(changesAtRestart(found(running, unit)), true);
  assert.equal(changesAtRestart(found(running, {}, 'k3s.service')), true);
  assert.equal(changesAtRestart(found(running)), false);
});

test("systemctl's words are taken out of their quotes", () => {
  const line = String.raw`Environment=HTTP_PROXY=http://us%er:p%20w@p:1 "A=b c \"d\" \\ \$x" B= C=1=2 D`;
  assert.deepEqual(assignments(`MainPID=1\n${line}\nEnvironmentFiles=/x (ignore_errors=no)\n`), {
    HTTP_PROXY: 'http://us%er:p%20w@p:1',
    A: 'b c "d" \\ $x',
    B: '',
    C: '1=2',
  });
  assert.deepEqual(assignments('Environment=\n'), {});
});

test('that peers say what a tag means is noted where no registry ever does', () => {
  const none = proxyOf({});
  const noted = (...args: Parameters<typeof tagSourceNote>) => tagSourceNote(...args).length > 0;
  assert.equal(noted({ CONTENT_STORE: 'oci-layout' }, none, true), true);
  assert.equal(noted({ CONTENT_STORE: 'oci-layout', TAG_SOURCE: 'peers' }, none, true), false);
  assert.equal(noted({}, none, true), false);
  assert.equal(noted({}, none, false), true);
  assert.equal(noted({}, proxyOf({ HTTP_PROXY: 'p:1' }), false), false);
  assert.equal(noted({ TAG_SOURCE: 'peers' }, none, false), false);
});
