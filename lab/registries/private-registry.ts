/** A second registry of a lab. It answers only requests with its name and password. */
import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { dirname, join } from 'node:path';
import type { Lab } from '../fleet/lab.ts';
import type { Certificates } from './certificates.ts';
import { type Transport, Upstream } from './upstream.ts';

const PORT = 5000;
/** Of "fleet-secret": bcrypt is all that the registry takes. */
const PASSWORD_HASH = '$2y$05$abcdefghijklmnopqrstuuiz1Y.0Qtk59V/ZKMvf0YaAfVnLcEY7q';
const PASSWORD = 'fleet-secret';

/** As `name:password`. */
export const CREDENTIALS = `fleet:${PASSWORD}`;

/** Starts it over plain http on a host of its own in this lab; it is stopped with the lab. */
export async function startPrivateRegistry(lab: Lab): Promise<Upstream> {
  const net = await lab.network.addHost('private');
  const dir = join(lab.dir, 'private');
  await mkdir(dir, { recursive: true });
  const registry = new Upstream(lab.tools, net, dir, await privateTransport(dir));
  lab.keep('private registry', registry.service);
  await registry.start();
  return registry;
}

/** How it is spoken to; with certificates over TLS. `dir` gets its list of passwords. */
export async function privateTransport(dir: string, files?: Certificates): Promise<Transport> {
  const path = join(dir, 'htpasswd');
  await writeFile(path, `fleet:${PASSWORD_HASH}\n`);
  const auth = { htpasswd: { realm: 'lab', path } };
  const credentials = `--dest-creds=${CREDENTIALS}`;
  if (files === undefined) {
    const skopeoFlags = ['--dest-tls-verify=false', credentials];
    const answers = async (url: string) => (await statusOf(url)) === 401;
    return { scheme: 'http', port: PORT, http: {}, auth, skopeoFlags, answers };
  }
  return {
    scheme: 'https',
    port: PORT,
    http: { tls: { certificate: files.serverCert, key: files.serverKey } },
    auth,
    skopeoFlags: ['--dest-cert-dir', dirname(files.ca), credentials],
    answers: async (url) => (await statusOverTls(url)) === 401,
  };
}

function statusOf(url: string): Promise<number | undefined> {
  return fetch(url).then(
    ({ status }) => status,
    () => undefined,
  );
}

function statusOverTls(url: string): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  request(url, { rejectUnauthorized: false, agent: false, signal }, (answer) => {
    resolve(answer.statusCode);
    answer.resume();
  })
    .once('error', () => resolve(undefined))
    .end();
  return promise;
}

const ANSWER_TIMEOUT_MS = 2_000;
