/**
 * A second registry of a lab: it speaks TLS, with an authority of its own, and demands client
 * certificates.
 */
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { request } from 'node:https';
import { dirname, join } from 'node:path';
import type { Lab } from '../fleet/lab.ts';
import { type Certificates, copyClientFiles, makeCertificates } from './certificates.ts';
import { type Transport, Upstream } from './upstream.ts';

const PORT = 5443;
const ANSWER_TIMEOUT_MS = 2000;

/** Whether the registry answers a client that has the certificates. */
async function answers(url: string, files: Certificates): Promise<boolean> {
  const [ca, cert, key] = await Promise.all([
    readFile(files.ca),
    readFile(files.clientCert),
    readFile(files.clientKey),
  ]);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  request(url, { ca, cert, key, agent: false, signal }, (answer) => {
    resolve(answer.statusCode === 200);
    answer.resume();
  })
    .once('error', () => resolve(false))
    .end();
  return promise;
}

function overTls(files: Certificates): Transport {
  return {
    scheme: 'https',
    port: PORT,
    http: {
      tls: { certificate: files.serverCert, key: files.serverKey, clientcas: [files.ca] },
    },
    skopeoFlags: ['--dest-cert-dir', dirname(files.ca)],
    answers: (url) => answers(url, files),
  };
}

export class TlsRegistry extends Upstream {
  readonly certificates: Certificates;

  private constructor(lab: Lab, net: Upstream['net'], dir: string, certificates: Certificates) {
    super(lab.tools, net, dir, overTls(certificates));
    this.certificates = certificates;
  }

  /**
   * Starts it on a host of its own in this lab; it is stopped with the lab. One per name.
   * `storage`: another registry's, for what is pushed there. Its certificate is also for these
   * addresses, of ways to it.
   */
  static async start(
    lab: Lab,
    name = 'tls',
    { storage, addresses = [] }: { storage?: string; addresses?: readonly string[] } = {},
  ): Promise<TlsRegistry> {
    const net = await lab.network.addHost(name);
    const dir = join(lab.dir, name);
    await mkdir(dir, { recursive: true });
    if (storage !== undefined) await symlink(storage, join(dir, 'storage'));
    const { openssl } = lab.tools;
    const certificates = await makeCertificates(openssl, dir, net.address, ...addresses);
    const registry = new TlsRegistry(lab, net, dir, certificates);
    lab.keep(name, registry.service);
    await registry.start();
    return registry;
  }

  /** The authority's certificate, the client's and its key: paths. */
  get ca(): string {
    return this.certificates.ca;
  }

  get clientCert(): string {
    return this.certificates.clientCert;
  }

  get clientKey(): string {
    return this.certificates.clientKey;
  }

  /**
   * Puts ca.crt, client.cert and client.key into this registry's directory; returns that directory.
   */
  async trustIn(hostsDir: string): Promise<string> {
    const dir = join(hostsDir, this.registry);
    await copyClientFiles(this.certificates, dir);
    return dir;
  }
}
