/** Registries in front of the lab's own. A test switches their answers while they run. */
import assert from 'node:assert/strict';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeHostsToml } from '../containerd/hosts-toml.ts';
import type { Lab } from '../fleet/lab.ts';
import { Service } from '../processes/service.ts';
import { makeCertificates } from './certificates.ts';

const PROGRAM = join(import.meta.dirname, 'switchable-server.ts');
const CONTROL_PORT = 4999;
const FIRST_PORT = 5000;

/**
 * What is asked for: `/v2/`, a manifest by its tag or its digest, a blob, the list of tags, an
 * anonymous token.
 */
export type RequestKind = 'ping' | 'tag' | 'digest' | 'blob' | 'list' | 'token';

/** Without any of them the request is passed on to the lab's registry. */
export interface Fault {
  readonly delayMs?: number;
  readonly isSilent?: boolean;
  readonly hangsUp?: boolean;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * The body takes so long, unless it has less than a KiB, without a pause that looks like silence.
   */
  readonly lastsMs?: number;
}

export interface Faults extends Readonly<Partial<Record<RequestKind, Fault>>> {
  /** Nobody listens: connections are refused. */
  readonly isGone?: boolean;
  /** `name:password` that every request needs (HTTP Basic). */
  readonly password?: string;
}

export interface RecordedRequest {
  readonly kind: RequestKind;
  readonly method: string;
  readonly path: string;
  readonly userAgent: string;
  /** Address of the client. */
  readonly from: string;
}

export interface RegistrySpec {
  readonly name: string;
  readonly port: number;
  readonly isTls: boolean;
  /** As Docker Hub: any client gets a token, and needs it. */
  readonly wantsToken: boolean;
}

export interface SwitchableSpec {
  /** host:port of the registry that has the content. */
  readonly to: string;
  readonly control: number;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly registries: readonly RegistrySpec[];
}

export type SwitchableOptions = Partial<Pick<RegistrySpec, 'isTls' | 'wantsToken'>>;

export class SwitchableRegistry {
  readonly name: string;
  /** Its name in references. */
  readonly registry: string;
  readonly url: string;
  readonly #control: string;
  #forgotten = 0;

  constructor(address: string, { name, port, isTls }: RegistrySpec) {
    this.name = name;
    this.registry = `${address}:${port}`;
    this.url = `${isTls ? 'https' : 'http'}://${this.registry}`;
    this.#control = `http://${address}:${CONTROL_PORT}/${name}`;
  }

  /** These are all of its faults from now on; without any it is well. */
  async setFaults(faults: Faults = {}): Promise<void> {
    const answer = await fetch(this.#control, { method: 'PUT', body: JSON.stringify(faults) });
    assert.equal(answer.status, 200);
    await answer.text();
  }

  /** What it was asked since the last forget(). */
  async requests(kind?: RequestKind): Promise<RecordedRequest[]> {
    const all = (await (await fetch(this.#control)).json()) as RecordedRequest[];
    return all.slice(this.#forgotten).filter((one) => kind === undefined || one.kind === kind);
  }

  async forget(): Promise<void> {
    this.#forgotten += (await this.requests()).length;
  }
}

/**
 * Starts registries, one for each name, on a host of their own in this lab; every host's certs.d
 * names them, and every containerd trusts their certificates. They have what is pushed to
 * `lab.upstream`, and end with the lab.
 */
export async function startSwitchable<Name extends string>(
  lab: Lab,
  wanted: Readonly<Record<Name, SwitchableOptions>>,
  host = 'switchable',
): Promise<Record<Name, SwitchableRegistry>> {
  const net = await lab.network.addHost(host);
  const dir = join(lab.dir, host);
  await mkdir(dir, { recursive: true });
  const { serverCert, serverKey, ca } = await makeCertificates(lab.tools.openssl, dir, net.address);
  const registries = Object.entries<SwitchableOptions>(wanted).map(([name, options], index) => {
    return { name, port: FIRST_PORT + index, isTls: false, wantsToken: false, ...options };
  });
  const tls = { cert: serverCert, key: serverKey };
  const spec: SwitchableSpec = {
    to: lab.upstream.registry,
    control: CONTROL_PORT,
    tls,
    registries,
  };
  const argv = net.on(process.execPath, PROGRAM, JSON.stringify(spec));
  const service = new Service(argv, join(dir, 'switchable.log'));
  lab.keep(host, service);
  service.start();
  await service.ready(() =>
    fetch(`http://${net.address}:${CONTROL_PORT}/`).then(
      () => true,
      () => false,
    ),
  );
  const started = registries.map((one) => new SwitchableRegistry(net.address, one));
  for (const { containerd } of lab.hosts) {
    await copyFile(ca, containerd.systemCa);
    for (const { registry, url } of started) {
      await writeHostsToml(containerd.hostsDir, { registry, server: url });
    }
  }
  return Object.fromEntries(started.map((one) => [one.name, one])) as Record<
    Name,
    SwitchableRegistry
  >;
}
