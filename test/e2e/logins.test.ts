/** A login asks the hosts of hosts.toml first: with the mirror among them it ends as without. */
import assert from 'node:assert/strict';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeHostsToml } from '../../lab/containerd/hosts-toml.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { findNerdctl, login } from '../../lab/programs/nerdctl.ts';
import { makeCertificates } from '../../lab/registries/certificates.ts';
import {
  CREDENTIALS,
  privateTransport,
  startPrivateRegistry,
} from '../../lab/registries/private-registry.ts';
import { Upstream } from '../../lab/registries/upstream.ts';
import { configure } from '../support/command.ts';

const nerdctl = await findNerdctl();
const skip =
  (await labMissing()) || (nerdctl === undefined && 'no nerdctl in PATH or the lab’s directory');
const [, PASSWORD = ''] = CREDENTIALS.split(':');

/** The registry that asks for a password, over TLS, with an authority that is in certs.d. */
async function startOverTls(lab: Lab, hostsDir: string): Promise<Upstream> {
  const net = await lab.network.addHost('private-tls');
  const dir = join(lab.dir, 'private-tls');
  await mkdir(dir, { recursive: true });
  const files = await makeCertificates(lab.tools.openssl, dir, net.address);
  const transport = await privateTransport(dir, files);
  const registry = new Upstream(lab.tools, net, dir, transport);
  lab.keep('private registry over TLS', registry.service);
  await registry.start();
  const own = join(hostsDir, registry.registry);
  await mkdir(own, { recursive: true });
  await cp(files.ca, join(own, 'ca.crt'));
  await writeFile(join(own, 'hosts.toml'), `server = "${registry.url}"\nca = "ca.crt"\n[host]\n`);
  return registry;
}

test('nerdctl login ends as without Spegel: http and https, right and wrong, registry up and down', {
  skip,
}, async (t) => {
  assert.ok(nerdctl);
  const lab = await Lab.create({ hosts: 1, spegel: true }, t);
  const host = lab.host(0);
  const plain = join(lab.dir, 'plain');
  const http = await startPrivateRegistry(lab);
  await writeHostsToml(plain, { registry: http.registry, server: http.url, mirrors: [] });
  const https = await startOverTls(lab, plain);
  const mirrored = join(lab.dir, 'mirrored');
  await cp(plain, mirrored, { recursive: true });
  const { code, stderr } = await configure(
    mirrored,
    '--basic-auth-path=',
    '--containerd-version=2.1',
  );
  assert.equal(code, 0, stderr);
  let logins = 0;
  const tryLogin = (registry: Upstream, password: string, hostsDir: string) => {
    logins += 1;
    const dir = join(lab.dir, `login-${logins}`);
    return login(nerdctl, host, { registry: registry.registry, password, hostsDir, dir });
  };
  for (const isUp of [true, false]) {
    for (const registry of [http, https]) {
      if (!isUp) await registry.service.stop();
      for (const password of [PASSWORD, 'wrong']) {
        const name = `${registry.url}, password ${password}, up ${isUp}`;
        const without = await tryLogin(registry, password, plain);
        const isRight = isUp && password === PASSWORD;
        assert.equal(without.code === 0, isRight, `without Spegel: ${name}: ${without.output}`);
        const withIt = await tryLogin(registry, password, mirrored);
        assert.equal(withIt.code, without.code, `${name}: ${withIt.output}`);
        assert.deepEqual(withIt.stored, without.stored, name);
        assert.equal(withIt.stored.length, isRight ? 1 : 0, name);
      }
    }
  }
  const asked = await host.spegel.metric('http_request_duration_seconds_count', 'handler="base"');
  assert.equal(asked, 8, 'the mirror was asked each time');
});
