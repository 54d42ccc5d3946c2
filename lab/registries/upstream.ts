/** The upstream: distribution's registry on a host of its own, with a log that tests can count. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NetHost } from '../network/nethost.ts';
import { run } from '../processes/exec.ts';
import { Service } from '../processes/service.ts';
import type { LabTools } from '../programs/programs.ts';

/** One answered request. A request is logged when its answer has ended. */
export interface UpstreamRequest {
  readonly method: string;
  readonly uri: string;
  readonly status: number;
  readonly bytes: number;
  readonly remote: string;
  readonly userAgent: string;
}

/** How a registry is spoken to. */
export interface Transport {
  readonly scheme: 'http' | 'https';
  readonly port: number;
  /** Added to `http` in its configuration. */
  readonly http: Readonly<Record<string, unknown>>;
  /** Its configuration's `auth`; without it any client may read and write. */
  readonly auth?: Readonly<Record<string, unknown>>;
  /** For pushes. */
  readonly skopeoFlags: readonly string[];
  /** Whether this URL of it is answered well. */
  answers(url: string): Promise<boolean>;
}

const PLAIN: Transport = {
  scheme: 'http',
  port: 5000,
  http: {},
  skopeoFlags: ['--dest-tls-verify=false'],
  answers: (url) =>
    fetch(url).then(
      (answer) => answer.ok,
      () => false,
    ),
};

export class Upstream {
  readonly net: NetHost;
  readonly service: Service;
  readonly #dir: string;
  readonly #skopeo: string;
  readonly #transport: Transport;
  #forgotten = 0;

  constructor(tools: LabTools, net: NetHost, dir: string, transport: Transport = PLAIN) {
    this.net = net;
    this.#dir = dir;
    this.#transport = transport;
    this.#skopeo = tools.skopeo;
    this.service = new Service(
      net.on(tools.registry, 'serve', join(dir, 'config.yml')),
      join(dir, 'registry.log'),
    );
  }

  /** The registry's name in references. */
  get registry(): string {
    return `${this.net.address}:${this.#transport.port}`;
  }

  get url(): string {
    return `${this.#transport.scheme}://${this.registry}`;
  }

  /** Where it keeps what was pushed. */
  get storage(): string {
    return join(this.#dir, 'storage');
  }

  async start(): Promise<void> {
    await mkdir(this.storage, { recursive: true });
    const config = {
      version: 0.1,
      log: { level: 'info', formatter: 'json', accesslog: { disabled: true } },
      storage: {
        filesystem: { rootdirectory: this.storage },
        delete: { enabled: true },
      },
      http: { addr: `:${this.#transport.port}`, secret: 'lab', ...this.#transport.http },
      ...(this.#transport.auth ? { auth: this.#transport.auth } : {}),
    };
    await writeFile(join(this.#dir, 'config.yml'), JSON.stringify(config)); // JSON is YAML
    this.service.start();
    await this.service.ready(() => this.#transport.answers(`${this.url}/v2/`));
  }

  /** Connections are refused from now on. */
  stop(): Promise<void> {
    return this.service.stop('SIGKILL');
  }

  /** Accepts connections and says nothing. */
  freeze(): void {
    this.service.freeze();
  }

  thaw(): void {
    this.service.thaw();
  }

  /** Everything to it is lost without a word. Undo with the function returned. */
  blackhole(): Promise<() => Promise<void>> {
    return this.net.filter(this.#transport.port, 'drop');
  }

  /** Pushes `layout:tag` byte by byte as it is, all platforms; returns the reference to pull. */
  async push(
    layout: { readonly dir: string; readonly tag: string },
    repository: string,
    tag = layout.tag,
  ): Promise<string> {
    const ref = `${this.registry}/${repository}:${tag}`;
    await run([
      this.#skopeo,
      '--insecure-policy',
      'copy',
      '--quiet',
      '--all',
      '--preserve-digests',
      ...this.#transport.skopeoFlags,
      `oci:${layout.dir}:${layout.tag}`,
      `docker://${ref}`,
    ]);
    return ref;
  }

  /** What was answered since the last forget(), pushes included. */
  async requests(): Promise<UpstreamRequest[]> {
    return (await this.#log()).slice(this.#forgotten);
  }

  /** Of those, the GETs of blobs: what a fleet is to take from its own. */
  async blobRequests(): Promise<UpstreamRequest[]> {
    return (await this.requests()).filter(
      (one) => one.method === 'GET' && one.uri.includes('/blobs/'),
    );
  }

  /** Starts counting anew. */
  async forget(): Promise<void> {
    this.#forgotten = (await this.#log()).length;
  }

  async #log(): Promise<UpstreamRequest[]> {
    const text = await readFile(this.service.logPath, 'utf8').catch(() => '');
    return text.split('\n').flatMap((line) => {
      if (!line.startsWith('{') || !line.includes('"response completed"')) return [];
      const entry = JSON.parse(line) as Record<string, string | number>;
      return {
        method: String(entry['http.request.method']),
        uri: String(entry['http.request.uri']),
        status: Number(entry['http.response.status']),
        bytes: Number(entry['http.response.written']),
        remote: String(entry['http.request.remoteaddr']),
        userAgent: String(entry['http.request.useragent']),
      };
    });
  }
}
