import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXECUTABLE } from '../executable.ts';

const READY_TIMEOUT_MS = 20_000;

interface Ports {
  readonly registry: number;
  readonly router: number;
  readonly metrics: number;
}

/** A running `spegel registry` on 127.0.0.1 with its own ports, data and OCI image layout. */
export class LocalNode {
  readonly name: string;
  readonly layout: string;
  readonly #directory: string;
  readonly #ports: Ports;
  readonly process: ChildProcess;

  private constructor(name: string, directory: string, ports: Ports, process: ChildProcess) {
    this.name = name;
    this.layout = join(directory, 'layout');
    this.#directory = directory;
    this.#ports = ports;
    this.process = process;
  }

  /**
   * Starts a node that meets the others through `bootstrap`, and waits until it is ready. `command`
   * is the executable, with what has to stand in front of it.
   */
  static async start(
    name: string,
    parent: string,
    bootstrap: LocalNode[],
    command: readonly string[] = [EXECUTABLE],
    flags: readonly string[] = [],
  ): Promise<LocalNode> {
    const directory = join(parent, name);
    await mkdir(join(directory, 'layout'), { recursive: true });
    await writeFile(join(directory, 'layout', 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(join(directory, 'layout', 'index.json'), '{"schemaVersion":2,"manifests":[]}');
    const [registry, router, metrics] = await freePorts();
    const log = openSync(join(directory, 'log'), 'w');
    const [program = EXECUTABLE, ...words] = command;
    // What Node reads from its environment would make the executable start twice
    // (cmd/process/clean-start.ts).
    const env = { PATH: process.env.PATH };
    const args = [
      ...words,
      'registry',
      '--content-store=oci-layout',
      `--oci-layout-path=${join(directory, 'layout')}`,
      `--registry-addr=127.0.0.1:${registry}`,
      `--router-addr=127.0.0.1:${router}`,
      `--metrics-addr=127.0.0.1:${metrics}`,
      `--data-dir=${join(directory, 'data')}`,
      '--advertise-address=127.0.0.1',
      // The registry of its images does not exist: upstream, a tag would first have to fail there.
      '--tag-source=peers',
      ...bootstrap.map((node) => `--static-bootstrap-peers=${node.endpoint}`),
      ...flags,
    ];
    const child = spawn(program, args, { env, stdio: ['ignore', log, log] });
    closeSync(log);
    const node = new LocalNode(name, directory, { registry, router, metrics }, child);
    await node.#untilReady();
    return node;
  }

  /** Where its router listens. */
  get endpoint(): string {
    return `127.0.0.1:${this.#ports.router}`;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#ports.registry}`;
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error(`${this.name} does not run`);
    return this.process.pid;
  }

  async metricsText(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.#ports.metrics}/metrics`)).text();
  }

  /** The sum of a metric over its labels. */
  async metric(name: string): Promise<number> {
    const lines = (await this.metricsText()).split('\n');
    const own = lines.filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return own.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  /** Waits until a metric has reached `value`. */
  async until(name: string, value: number): Promise<void> {
    const end = Date.now() + READY_TIMEOUT_MS;
    while ((await this.metric(name)) < value) {
      if (Date.now() > end) throw new Error(`${this.name}: ${name} did not reach ${value}`);
      await sleep(50);
    }
  }

  get isRunning(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (!this.isRunning) return;
    const exited = once(this.process, 'exit');
    this.process.kill(signal);
    await exited;
  }

  async #untilReady(): Promise<void> {
    const end = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      const answer = await fetch(`${this.origin}/readyz`).catch(() => undefined);
      if (answer?.ok) return;
      if (!this.isRunning || Date.now() > end) {
        const log = await readFile(join(this.#directory, 'log'), 'utf8');
        throw new Error(`${this.name} did not get ready; it said:\n${log}`);
      }
      await sleep(50);
    }
  }
}

/** Three ports nobody listens on, all held until all are found so that none is given twice. */
async function freePorts(): Promise<[number, number, number]> {
  const free = async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (typeof address !== 'object' || address === null) throw new Error('no port');
    return { server, port: address.port };
  };
  const [a, b, c] = [await free(), await free(), await free()];
  for (const { server } of [a, b, c]) server.close();
  return [a.port, b.port, c.port];
}
