/** Servers on one host of the lab that tell a test what they were asked: mirrors, registries. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';
import { Service } from '../../lab/processes/service.ts';

const PROGRAM = join(import.meta.dirname, 'asked-server.ts');

export interface AskedServer {
  /** Several may share one. */
  readonly name: string;
  /** Default: 127.0.0.1. */
  readonly host?: string;
  readonly port: number;
  /** host:port of a plain registry that answers; without it every answer is 404. */
  readonly to?: string;
  /** Paths. Without them it speaks plain HTTP, and attempts of TLS are noted. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Over TLS, clients may show a certificate, whoever has signed it. */
  readonly asksClients?: boolean;
  /** Connections are passed on as they are, nothing is noted. */
  readonly raw?: boolean;
}

export interface AskedSpec {
  readonly log: string;
  readonly servers: readonly AskedServer[];
}

export interface AskedRequest {
  /** Name of the server. */
  readonly by: string;
  /** TLS for an attempt at a server that does not speak it. */
  readonly method: string;
  readonly path: string;
  readonly scheme?: 'http' | 'https';
  /** Name in the client's certificate. */
  readonly client?: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** In place of spegel where a test has to see whether containerd asks it, and how. */
export const MIRROR: AskedServer = { name: 'M', port: 5000 };

export class Asked {
  readonly #log: string;
  #forgotten = 0;

  private constructor(log: string) {
    this.#log = log;
  }

  /** Runs until the lab ends. */
  static async start(lab: Lab, host: LabHost, servers: readonly AskedServer[]): Promise<Asked> {
    const log = join(host.dir, 'asked.log');
    const spec: AskedSpec = { log, servers };
    const argv = host.net.on(process.execPath, PROGRAM, JSON.stringify(spec));
    const service = new Service(argv, join(host.dir, 'asked-server.log'));
    lab.keep(`${host.name} asked`, service);
    service.start();
    await service.ready(async () => (await readFile(log, 'utf8').catch(() => '')) !== '');
    const asked = new Asked(log);
    await asked.forget();
    return asked;
  }

  /** What was asked since the last forget(). */
  async requests(): Promise<AskedRequest[]> {
    const lines = (await readFile(this.#log, 'utf8')).split('\n').filter(Boolean);
    return lines.slice(this.#forgotten).map((line) => JSON.parse(line) as AskedRequest);
  }

  async forget(): Promise<void> {
    this.#forgotten += (await this.requests()).length;
  }
}
