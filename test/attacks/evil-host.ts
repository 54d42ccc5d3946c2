/** A liar on a host of its own in the lab, driven by the test. */
import { join } from 'node:path';
import type { Layout } from '../support/images.ts';
import type { Lab } from '../support/lab.ts';
import type { NetHost } from '../support/nethost.ts';
import { Service } from '../support/service.ts';
import {
  EVIL_CONTROL_PORT,
  EVIL_ROUTER_PORT,
  type EvilDeeds,
  type EvilSpec,
  type Learned,
} from './evil-spec.ts';

const PROGRAM = join(import.meta.dirname, 'evil-node.ts');
/** On a busy machine it takes seconds to read its program. */
const READY_MS = 180_000;

export type Liar = Partial<Omit<EvilSpec, 'address' | 'fleet'>> & Pick<EvilSpec, 'lie'>;

export class EvilHost {
  readonly net: NetHost;
  readonly #service: Service;

  private constructor(net: NetHost, service: Service) {
    this.net = net;
    this.#service = service;
  }

  /** Bootstrapped from all hosts of the lab. Runs until the lab ends. */
  static async start(lab: Lab, name: string, liar: Liar): Promise<EvilHost> {
    const net = await lab.network.addHost(name);
    const spec: EvilSpec = {
      identities: 1,
      identityMs: 0,
      holds: true,
      misleads: true,
      oneBranch: false,
      ...liar,
      address: net.address,
      fleet: lab.hosts.map(({ address }) => address),
    };
    const argv = net.on(process.execPath, PROGRAM, JSON.stringify(spec));
    const service = new Service(argv, join(lab.dir, `${name}.log`));
    lab.keep(`${name} (${liar.lie})`, service);
    service.start();
    const host = new EvilHost(net, service);
    await service.ready(
      () =>
        host.deeds().then(
          () => true,
          () => false,
        ),
      READY_MS,
    );
    return host;
  }

  get multiaddr(): string {
    return `/ip4/${this.net.address}/tcp/${EVIL_ROUTER_PORT}`;
  }

  /** From now on it claims to have this image, all of it. */
  async claim(image: Layout): Promise<void> {
    const blobs = image.manifests.flatMap(({ config, layers }) => [config, ...layers]);
    const learned: Learned = {
      dir: image.dir,
      manifests: [...new Set([image.digest, ...image.manifests.map(({ digest }) => digest)])],
      blobs: blobs.map(({ digest }) => digest),
    };
    await this.#ask({ method: 'POST', body: JSON.stringify(learned) });
  }

  deeds(): Promise<EvilDeeds> {
    return this.#ask({});
  }

  async #ask(request: RequestInit): Promise<EvilDeeds> {
    if (!this.#service.running) throw new Error(await this.#service.tail());
    const url = `http://${this.net.address}:${EVIL_CONTROL_PORT}/`;
    const answer = await fetch(url, { ...request, signal: AbortSignal.timeout(READY_MS) });
    return (await answer.json()) as EvilDeeds;
  }
}
