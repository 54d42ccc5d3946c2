/** A real containerd on one host of the lab, and what tests do with it through `ctr`. */
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import type { NetHost } from '../network/nethost.ts';
import { cleanEnv, type Output, type RunOptions, run, waitUntil } from '../processes/exec.ts';
import { Service } from '../processes/service.ts';
import type { ContainerdVersion, LabTools } from '../programs/programs.ts';
import { type ContainerdOptions, containerdConfig, isVersion2 } from './containerd-config.ts';
import { CriClient } from './cri.ts';

export interface PullOptions extends RunOptions {
  /** containerd's namespace; `ctr`'s own default is "default". */
  readonly namespace?: string;
  /** Default: this host's certs.d. null: without any hosts.toml. */
  readonly hostsDir?: string | null;
  readonly plainHttp?: boolean;
  /** 2.1: fetch in ctr itself instead of containerd's transfer service (1.x always does). */
  readonly local?: boolean;
  readonly platform?: string;
  readonly allPlatforms?: boolean;
  readonly snapshotter?: string;
  /** Credentials for a registry that asks for them: `name:password`. */
  readonly user?: string;
}

export class Containerd {
  readonly version: ContainerdVersion;
  readonly root: string;
  readonly socket: string;
  readonly hostsDir: string;
  readonly contentRoot: string;
  /**
   * A test that writes it before the first pull over TLS has containerd trust it as the system's
   * own.
   */
  readonly systemCa: string;
  readonly service: Service;
  /** Variables it is started with, the next time. */
  readonly env: Record<string, string>;
  readonly #net: NetHost;
  readonly #options: ContainerdOptions;
  readonly #dir: string;
  readonly #ctr: string;
  #cri: CriClient | undefined;

  /** `dir` is this containerd's alone; it is made here and not removed here. */
  constructor(tools: LabTools, net: NetHost, dir: string, options: ContainerdOptions) {
    const { bin } = tools.containerd[options.version];
    this.#net = net;
    this.#options = options;
    this.#dir = dir;
    this.#ctr = join(bin, 'ctr');
    this.version = options.version;
    this.root = join(dir, 'root');
    this.socket = join(dir, 'containerd.sock');
    this.hostsDir = join(dir, 'certs.d');
    this.contentRoot = join(this.root, 'io.containerd.content.v1.content');
    const enter = options.runsContainers ? net.onWithCgroups : net.on;
    const program = [join(bin, 'containerd'), '--config', join(dir, 'config.toml')];
    const argv = enter.call(net, ...program);
    this.systemCa = join(dir, 'system-ca.crt');
    this.env = {
      SSL_CERT_FILE: this.systemCa,
      ...(options.runsContainers && { PATH: `${dirname(tools.runc)}:${cleanEnv().PATH}` }),
    };
    this.service = new Service(argv, join(dir, 'containerd.log'), this.env);
  }

  get logPath(): string {
    return this.service.logPath;
  }

  /** Starts (again) with what is on disk, and waits until calls are answered. */
  async start(changed: Partial<ContainerdOptions> = {}): Promise<void> {
    await mkdir(this.hostsDir, { recursive: true });
    const paths = {
      root: this.root,
      state: join(this.#dir, 'state'),
      socket: this.socket,
      hostsDir: this.hostsDir,
      scratch: join(this.#dir, 'scratch'),
    };
    await writeFile(
      join(this.#dir, 'config.toml'),
      containerdConfig({ ...this.#options, ...changed }, paths),
    );
    this.service.start();
    await this.service.ready(() => this.#accepts());
    await waitUntil('containerd answers', () => this.#answers());
  }

  /** The socket is a file, so it can be reached from outside of the namespace. */
  #accepts(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.socket);
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
  }

  async #answers(): Promise<boolean> {
    if (this.#options.cri) return this.cri.answers();
    return this.ctr(['version'], { timeoutMs: 5000 }).then(
      () => true,
      () => false,
    );
  }

  /** Lets go of the socket, for a containerd that is about to be ended by force. */
  closeClients(): void {
    this.#cri?.close();
    this.#cri = undefined;
  }

  async stop(): Promise<void> {
    this.closeClients();
    await this.service.stop();
  }

  async restart(changed: Partial<ContainerdOptions> = {}): Promise<void> {
    await this.stop();
    await this.start(changed);
  }

  /** CRI over the socket, as the kubelet uses it. Needs `cri: true`. */
  get cri(): CriClient {
    if (!this.#options.cri) throw new Error('this containerd was configured without cri: true');
    this.#cri ??= new CriClient(this.socket);
    return this.#cri;
  }

  /** ctr runs on the host: before 2.1 it is ctr, not containerd, that does the fetching. */
  ctr(
    args: readonly string[],
    options: RunOptions & { readonly namespace?: string } = {},
  ): Promise<Output> {
    const global = ['--address', this.socket, '--namespace', options.namespace ?? 'default'];
    return run(this.#net.on(this.#ctr, ...global, ...args), options);
  }

  #sourceFlags(options: PullOptions): string[] {
    const flags: string[] = [];
    if (options.hostsDir !== null) flags.push('--hosts-dir', options.hostsDir ?? this.hostsDir);
    if (options.plainHttp) flags.push('--plain-http');
    if (options.user) flags.push('--user', options.user);
    if (options.platform) flags.push('--platform', options.platform);
    if (options.allPlatforms) flags.push('--all-platforms');
    return flags;
  }

  /** Plain `ctr images pull`, with nothing but a directory of hosts.toml files. */
  pull(ref: string, options: PullOptions = {}): Promise<Output> {
    const flags = this.#sourceFlags(options);
    const snapshotter = options.snapshotter ?? this.#options.snapshotter;
    if (snapshotter) flags.push('--snapshotter', snapshotter);
    if (options.local && isVersion2(this.version)) flags.push('--local');
    return this.ctr(['images', 'pull', ...flags, ref], options);
  }

  /** Downloads without unpacking; also what OCI artifacts need, they have nothing to unpack. */
  fetch(ref: string, options: PullOptions = {}): Promise<Output> {
    return this.ctr(['content', 'fetch', ...this.#sourceFlags(options), ref], options);
  }

  async imageNames(namespace?: string): Promise<string[]> {
    const { stdout } = await this.ctr(
      ['images', 'list', '--quiet'],
      namespace ? { namespace } : {},
    );
    return stdout.split('\n').filter(Boolean);
  }

  async digests(namespace?: string): Promise<string[]> {
    const { stdout } = await this.ctr(
      ['content', 'list', '--quiet'],
      namespace ? { namespace } : {},
    );
    return stdout.split('\n').filter(Boolean);
  }

  /** Removes the image and, before returning, the content that only it held. */
  async removeImage(ref: string, namespace?: string): Promise<void> {
    await this.ctr(['images', 'remove', '--sync', ref], namespace ? { namespace } : {});
  }

  /** Where a blob is on disk, if it is there. */
  blobPath(digest: string): string {
    return join(this.contentRoot, 'blobs', ...digest.split(':'));
  }
}
