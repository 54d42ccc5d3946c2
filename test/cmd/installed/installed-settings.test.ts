import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environmentFile } from '../../../cmd/installed/environment-file.ts';
import { settingsNotRead, withoutPasswords } from '../../../cmd/installed/installed-settings.ts';
import { CONFIGURATION_OPTIONS } from '../../../cmd/options/configuration-options.ts';
import { parseEnvironmentFile } from '../../../lib/systemd/environment-syntax.ts';

test('an environment file with a value says that value and no other', () => {
  const peers = '10.0.0.1:5001,[fd00::1]:5001';
  const text = environmentFile({ STATIC_BOOTSTRAP_PEERS: peers });
  assert.deepEqual(parseEnvironmentFile(text), { STATIC_BOOTSTRAP_PEERS: peers });
  assert.deepEqual(parseEnvironmentFile(environmentFile()), {});
});

test('settings are printed without the password of a proxy', () => {
  const env = { HTTPS_PROXY: 'http://u:secret@p:1', NO_PROXY: '.corp,10.0.0.0/8', X: 'a@b' };
  assert.deepEqual(withoutPasswords(env), { ...env, HTTPS_PROXY: 'http://u:***@p:1' });
  assert.deepEqual(withoutPasswords({ http_proxy: '' }), { http_proxy: '' });
});

test('settings that a call by hand does not have are named, those of the unit never', () => {
  const installed = {
    MIRROR_TARGETS: 'http://127.0.0.1:5555',
    RESOLVE_TAGS: '',
    LOG_LEVEL: 'DEBUG',
  };
  const named = (given: object, env: object) =>
    settingsNotRead(CONFIGURATION_OPTIONS, { ...given }, { ...env }, installed);
  assert.deepEqual(named({}, {}), ['MIRROR_TARGETS']);
  assert.deepEqual(named({}, installed), []);
  assert.deepEqual(named({ mirrorTargets: ['http://127.0.0.1:1'] }, {}), []);
});
