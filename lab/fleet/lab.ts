/**
 * A fleet on one machine: hosts with a real containerd each, and an upstream registry.
 *
 *     test('a pull', { skip: await labMissing() }, async (t) => {
 *       const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'] }, t);
 *
 * Given the test's context, the lab goes when the test has ended, and a failed test gets the ends
 * of all logs. Without one: `await using lab = await Lab.create({ hosts: 2 })`.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Containerd } from '../containerd/containerd.ts';
import type { ContainerdOptions } from '../containerd/containerd-config.ts';
import { writeHostsToml } from '../containerd/hosts-toml.ts';
import type { NetHost } from '../network/nethost.ts';
import { Network, type NetworkOptions } from '../network/network.ts';
import type { Service } from '../processes/service.ts';
import {
  type ContainerdVersion,
  containerdMissing,
  type LabTools,
  provisionLab,
} from '../programs/programs.ts';
import { Upstream } from '../registries/upstream.ts';
import { saveLogs } from './lab-logs.ts';
import { Spegel, type SpegelOptions } from './spegel.ts';

export type Generation = ContainerdVersion | ContainerdOptions;

export interface LabOptions extends NetworkOptions {
  readonly hosts: number;
  /** One for each host in turn, beginning anew at the end of the list. Default: 2.1 everywhere. */
  readonly containerd?: readonly Generation[];
  /** Starts the daemon everywhere, each bootstrapped from all others. Default: not started. */
  readonly spegel?: boolean | SpegelOptions;
}

export interface LabHost {
  readonly name: string;
  readonly address: string;
  /** Of this host alone, gone with the lab. */
  readonly dir: string;
  readonly net: NetHost;
  readonly containerd: Containerd;
  readonly spegel: Spegel;
}

/**
 * For node:test's `skip`: the reason why there can be no lab here, else false. Name the generations
 * of containerd that the test needs: one that is being built is waited for, and one that cannot be
 * had is the reason.
 */
export async function labMissing(...versions: ContainerdVersion[]): Promise<string | false> {
  const tools = await provisionLab();
  if ('missing' in tools) return `no lab: ${tools.missing}`;
  for (const version of versions) {
    const missing = await containerdMissing(version);
    if (missing !== false) return missing;
  }
  return false;
}

/** Those of a group of generations that can be had here; why tests are skipped where none can. */
export async function labOf(
  group: readonly ContainerdVersion[],
): Promise<{ readonly versions: readonly ContainerdVersion[]; readonly skip: string | false }> {
  const missing = await Promise.all(group.map((version) => containerdMissing(version)));
  const versions = group.filter((_, index) => missing[index] === false);
  return { versions, skip: await labMissing(...(versions.length > 0 ? versions : group)) };
}

export class Lab implements AsyncDisposable {
  readonly tools: LabTools;
  readonly network: Network;
  readonly hosts: LabHost[] = [];
  /** For images and other files of the test. */
  readonly dir: string;
  #upstream: Upstream | undefined;
  readonly #further = new Map<string, Service>();
  #test: TestContext | undefined;
  #disposed: Promise<void> | undefined;

  private constructor(tools: LabTools, network: Network) {
    this.tools = tools;
    this.network = network;
    this.dir = join(network.slot.dir, 'test');
  }

  static async create(options: LabOptions, test?: TestContext): Promise<Lab> {
    const versions = (options.containerd ?? []).map((one) =>
      typeof one === 'string' ? one : one.version,
    );
    const missing = await labMissing(...versions);
    const tools = await provisionLab();
    if (missing !== false || 'missing' in tools) throw new Error(String(missing));
    const lab = new Lab(tools, await Network.create(tools, options));
    try {
      await lab.#build(options);
    } catch (error) {
      const logs = await lab.logTails();
      await lab.dispose();
      throw new Error(`${(error as Error).message}\n${logs}`, { cause: error });
    }
    lab.#test = test;
    test?.after(() => lab.#afterTest());
    return lab;
  }

  get upstream(): Upstream {
    if (!this.#upstream) throw new Error('the lab is not built yet');
    return this.#upstream;
  }

  /** The host at a number that the test itself has asked for. */
  host(index: number): LabHost {
    const host = this.hosts[index];
    if (!host) throw new Error(`this lab has ${this.hosts.length} hosts, no number ${index}`);
    return host;
  }

  async #build(options: LabOptions): Promise<void> {
    const dirOf = (name: string) => join(this.network.slot.dir, name);
    await mkdir(this.dir);
    await mkdir(dirOf('upstream'));
    this.#upstream = new Upstream(
      this.tools,
      await this.network.addHost('upstream'),
      dirOf('upstream'),
    );
    for (let i = 0; i < options.hosts; i++) {
      const generations = options.containerd ?? ['2.1'];
      const generation = generations[i % generations.length] ?? '2.1';
      const name = `h${i}`;
      const dir = dirOf(name);
      await mkdir(dir);
      const net = await this.network.addHost(name);
      const settings = typeof generation === 'string' ? { version: generation } : generation;
      const containerd = new Containerd(this.tools, net, dir, settings);
      this.hosts.push({
        name,
        address: net.address,
        dir,
        net,
        containerd,
        spegel: new Spegel(net, dir),
      });
    }
    await Promise.all([
      this.#upstream.start(),
      ...this.hosts.map((host) => host.containerd.start()),
    ]);
    const { registry } = this.#upstream;
    await Promise.all(
      this.hosts.map((host) => writeHostsToml(host.containerd.hostsDir, { registry })),
    );
    if (options.spegel) await this.startSpegel(options.spegel === true ? {} : options.spegel);
  }

  /**
   * The daemon on these hosts (default: all), each bootstrapped from all other hosts of the lab.
   */
  async startSpegel(
    options: SpegelOptions = {},
    hosts: readonly LabHost[] = this.hosts,
  ): Promise<void> {
    await Promise.all(
      hosts.map((host) => {
        const others = this.hosts.filter((other) => other !== host).map((other) => other.address);
        return host.spegel.start({
          containerdSocket: host.containerd.socket,
          hostsDir: host.containerd.hostsDir,
          bootstrap: others,
          ...options,
        });
      }),
    );
  }

  /** From now on this service, named for people, is logged and ended with the lab. */
  keep(name: string, service: Service): void {
    this.#further.set(name, service);
  }

  #services(): Map<string, Service> {
    const services = new Map(this.#further);
    if (this.#upstream) services.set('upstream', this.#upstream.service);
    for (const host of this.hosts) {
      services.set(`${host.name} containerd ${host.containerd.version}`, host.containerd.service);
      if (host.spegel.started) services.set(`${host.name} spegel`, host.spegel.service);
    }
    return services;
  }

  /** The ends of all logs, and where the whole of them was saved. */
  logTails(): Promise<string> {
    return saveLogs(this.#services(), String(this.network.slot.number));
  }

  async #afterTest(): Promise<void> {
    try {
      if (this.#test?.error)
        process.stderr.write(`\n${this.#test.name}: failed\n${await this.logTails()}\n`);
    } finally {
      await this.dispose();
    }
  }

  /**
   * Ends every process, removes the network and the directory. The second call waits for the first.
   */
  dispose(): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    const services = [...this.#services().values()];
    for (const host of this.hosts) host.containerd.closeClients();
    for (const service of services) service.kill('SIGKILL');
    await Promise.all(services.map((service) => service.exited));
    await this.network.dispose();
  }

  /**
   * With a test's context, the end of the test does it: only then is it known whether it failed.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#test) await this.dispose();
  }
}
