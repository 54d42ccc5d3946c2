/** A second registry of a lab, over plain http, that answers nobody without a name and a password. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab } from './lab.ts';
import { type Transport, Upstream } from './upstream.ts';

const PORT = 5000;
/** Of "herd-secret": bcrypt is all that the registry takes. */
const PASSWORD_HASH = '$2y$05$abcdefghijklmnopqrstuu1KSiQRvuXt/eLDrQ3A/uW4jAy7yXnLm';
const PASSWORD = 'herd-secret';

/** As `name:password`. */
export const CREDENTIALS = `herd:${PASSWORD}`;

/** Starts it on a host of its own in this lab; it is stopped with the lab. */
export async function startPrivateRegistry(lab: Lab): Promise<Upstream> {
  const net = await lab.network.addHost('private');
  const dir = join(lab.dir, 'private');
  await mkdir(dir, { recursive: true });
  const path = join(dir, 'htpasswd');
  await writeFile(path, `herd:${PASSWORD_HASH}\n`);
  const transport: Transport = {
    scheme: 'http',
    port: PORT,
    http: {},
    auth: { htpasswd: { realm: 'lab', path } },
    skopeoFlags: ['--dest-tls-verify=false', `--dest-creds=${CREDENTIALS}`],
    answers: (url) =>
      fetch(url).then(
        (answer) => answer.status === 401,
        () => false,
      ),
  };
  const registry = new Upstream(lab.tools, net, dir, transport);
  lab.keep('private registry', registry.service);
  await registry.start();
  return registry;
}
