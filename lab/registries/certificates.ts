/**
 * A certificate authority of a test's own, with one certificate for a server and one for clients.
 */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { basename, join } from 'node:path';
import { run } from '../processes/exec.ts';

const DAYS = '2';
/** Our own, since Debian's would make every certificate an authority. */
const CONFIG = '[req]\ndistinguished_name = dn\n[dn]\n';

/**
 * Paths. The first three are in a directory of their own, named as containerd and skopeo want them.
 */
export interface Certificates {
  readonly ca: string;
  readonly clientCert: string;
  readonly clientKey: string;
  readonly serverCert: string;
  readonly serverKey: string;
}

/** Makes them all in `dir`; the server's is for these IP addresses and names. */
export async function makeCertificates(
  openssl: string,
  dir: string,
  ...addresses: readonly string[]
): Promise<Certificates> {
  const trusted = join(dir, 'trusted');
  const made: Certificates = {
    ca: join(trusted, 'ca.crt'),
    clientCert: join(trusted, 'client.cert'),
    clientKey: join(trusted, 'client.key'),
    serverCert: join(dir, 'server.crt'),
    serverKey: join(dir, 'server.key'),
  };
  const config = join(dir, 'openssl.cnf');
  const caKey = join(dir, 'ca.key');
  await mkdir(trusted, { recursive: true });
  await writeFile(config, CONFIG);
  const issue = (name: string, cert: string, key: string, ...more: string[]) => {
    const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const where = ['-subj', `/CN=${name}`, '-days', DAYS, '-out', cert, '-keyout', key];
    return run([openssl, 'req', '-x509', '-config', config, ...fresh, ...where, ...more]);
  };
  const authority = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'];
  await issue('lab authority', made.ca, caKey, ...authority.flatMap((one) => ['-addext', one]));
  const signed = ['-CA', made.ca, '-CAkey', caKey, '-addext', 'basicConstraints=critical,CA:FALSE'];
  const forServer = ['-addext', 'extendedKeyUsage=serverAuth'];
  const forClient = ['-addext', 'extendedKeyUsage=clientAuth'];
  const named = [
    '-addext',
    `subjectAltName=${addresses.map((one) => `${isIP(one) === 0 ? 'DNS' : 'IP'}:${one}`).join(',')}`,
  ];
  await issue('lab server', made.serverCert, made.serverKey, ...signed, ...forServer, ...named);
  await issue('lab client', made.clientCert, made.clientKey, ...signed, ...forClient);
  return made;
}

/** Copies what a client needs into a directory, e.g. a registry's in certs.d. */
export async function copyClientFiles(from: Certificates, into: string): Promise<void> {
  await mkdir(into, { recursive: true });
  for (const file of [from.ca, from.clientCert, from.clientKey]) {
    await copyFile(file, join(into, basename(file)));
  }
}
