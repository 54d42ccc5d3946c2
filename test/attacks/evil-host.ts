/** A liar on a host of its own in the lab, driven by the test. */
import { join } from 'node:path';
import type { Lab } from '../../lab/fleet/lab.ts';
import type { Layout } from '../../lab/images/images.ts';
import type { NetHost } from '../../lab/network/nethost.ts';
import { run } from '../../lab/processes/exec.ts';
import { Service } from '../../lab/processes/service.ts';
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

/** Last octets of a liar's further addresses: far behind those of the lab's hosts. */
const FURTHER = 100;
const FURTHER_EACH = 10;

export interface Liar extends Partial<Omit<EvilSpec, 'addresses' | 'fleet' | 'lie'>> {
  readonly lie: EvilSpec['lie'];
  /** Addresses that its host has. Default: 1. */
  readonly addresses?: number;
}

/** Each address is a host as far as anybody can tell. */
export const addressesOf = (liars: readonly Liar[]) =>
  liars.reduce((sum, { addresses = 1 }) => sum + addresses, 0);

export class EvilHost {
  readonly net: NetHost;
  readonly #service: Service;

  private constructor(net: NetHost, service: Service) {
    this.net = net;
    this.#service = service;
  }

  /** Bootstrapped from all hosts of the lab. Runs until the lab ends. */
  static async start(lab: Lab, number: number, liar: Liar): Promise<EvilHost> {
    const name = `e${number}`;
    const net = await lab.network.addHost(name);
    const addresses = [net.address];
    for (let further = 1; further < (liar.addresses ?? 1); further += 1) {
      const address = lab.network.address(FURTHER + number * FURTHER_EACH + further);
      await run([lab.tools.ip, '-n', net.ns, 'addr', 'add', `${address}/24`, 'dev', 'eth0']);
      addresses.push(address);
    }
    const spec: EvilSpec = {
      identities: 1,
      identityMs: 0,
      holds: true,
      misleads: true,
      oneBranch: false,
      ...liar,
      addresses,
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
