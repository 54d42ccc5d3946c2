/** The built executable on one host of the lab, driven by its command line as users drive it. */
import { access, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EXECUTABLE } from '../executable.ts';
import type { NetHost } from '../network/nethost.ts';
import { Service } from '../processes/service.ts';

const REGISTRY_PORT = 5000;
const ROUTER_PORT = 5001;
const METRICS_PORT = 9090;
const READY_TIMEOUT_MS = 90_000;

export interface SpegelOptions {
  readonly containerdSocket?: string;
  /** containerd's certs.d. */
  readonly hostsDir?: string;
  /** Addresses of hosts (their router port is known), or whole multiaddrs. */
  readonly bootstrap?: readonly string[];
  /**
   * Further flags, and those that replace ours: `{ 'parallel-fetch': true, 'tag-source': 'peers'
   * }`.
   */
  readonly flags?: Readonly<Record<string, string | number | boolean>>;
  readonly env?: Readonly<Record<string, string>>;
  /** What to run instead of the executable, such as another build. */
  readonly program?: readonly string[];
}

export type LogLine = Readonly<Record<string, unknown>>;

export class Spegel {
  readonly dataDir: string;
  readonly logPath: string;
  readonly #net: NetHost;
  #service: Service | undefined;

  /** `dir` is this daemon's alone, kept over restarts. */
  constructor(net: NetHost, dir: string) {
    this.#net = net;
    this.dataDir = join(dir, 'spegel');
    this.logPath = join(dir, 'spegel.log');
  }

  /** The process: freeze(), thaw(), kill(signal), pid, exited. */
  get service(): Service {
    if (!this.#service) throw new Error('spegel was not started on this host');
    return this.#service;
  }

  get started(): boolean {
    return this.#service !== undefined;
  }

  get running(): boolean {
    return this.#service?.running ?? false;
  }

  /** Where others bootstrap from. */
  get multiaddr(): string {
    return `/ip4/${this.#net.address}/tcp/${ROUTER_PORT}`;
  }

  static argv(dataDir: string, options: SpegelOptions): string[] {
    const peers = (options.bootstrap ?? []).map((peer) =>
      peer.startsWith('/') ? peer : `/ip4/${peer}/tcp/${ROUTER_PORT}`,
    );
    const flags = {
      'registry-addr': `:${REGISTRY_PORT}`,
      'router-addr': `:${ROUTER_PORT}`,
      'metrics-addr': `:${METRICS_PORT}`,
      'data-dir': dataDir,
      'bootstrap-kind': 'static',
      'static-bootstrap-peers': peers.join(','),
      'log-level': 'DEBUG',
      ...(options.containerdSocket ? { 'containerd-sock': options.containerdSocket } : {}),
      ...(options.hostsDir ? { 'containerd-registry-config-path': options.hostsDir } : {}),
      ...options.flags,
    };
    return ['registry', ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)];
  }

  /** Starts it without waiting: for tests of the start itself. */
  async launch(options: SpegelOptions): Promise<void> {
    await access(EXECUTABLE).catch(() => {
      throw new Error(`${EXECUTABLE} is not there: make build, or set SPEGEL_BIN`);
    });
    await mkdir(this.dataDir, { recursive: true });
    const program = options.program ?? [EXECUTABLE];
    const argv = this.#net.on(...program, ...Spegel.argv(this.dataDir, options));
    this.#service = new Service(argv, this.logPath, options.env);
    this.#service.start();
  }

  /** Starts it and waits until /readyz says so. */
  async start(options: SpegelOptions): Promise<void> {
    await this.launch(options);
    await this.service.ready(() => this.isReady(), READY_TIMEOUT_MS);
  }

  isReady(): Promise<boolean> {
    return this.get('/readyz', '--fail', '--max-time', '2').then(
      () => true,
      () => false,
    );
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs?: number): Promise<void> {
    await this.#service?.stop(signal, graceMs);
  }

  /** kill -9: no withdrawal, no FIN from us (the kernel closes the connections). */
  async kill(): Promise<void> {
    this.#service?.kill('SIGKILL');
    await this.#service?.exited;
  }

  /** A request from this host itself, with curl's flags, as containerd would send it. */
  get(path: string, ...curlFlags: string[]): Promise<string> {
    return this.#net.curl(...curlFlags, `http://127.0.0.1:${REGISTRY_PORT}${path}`);
  }

  metrics(): Promise<string> {
    return this.#net.curl('--fail', `http://127.0.0.1:${METRICS_PORT}/metrics`);
  }

  /** The sum of one metric over its label sets, or over those that contain `labels`. */
  async metric(name: string, labels = ''): Promise<number> {
    let sum = 0;
    for (const line of (await this.metrics()).split('\n')) {
      const [, found, set = '', value] = /^([\w:]+)(\{.*\})? (\S+)/.exec(line) ?? [];
      if (found === name && set.includes(labels)) sum += Number(value);
    }
    return sum;
  }

  /** What it logged so far; lines that are no JSON object come as { raw }. */
  async logs(): Promise<LogLine[]> {
    const text = await readFile(this.logPath, 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        try {
          const value: unknown = JSON.parse(line);
          return typeof value === 'object' && value !== null ? (value as LogLine) : { raw: line };
        } catch {
          return { raw: line };
        }
      });
  }
}
