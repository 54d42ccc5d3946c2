/** The upstream: distribution's registry on a host of its own, with a log that tests can count. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './exec.ts';
import type { NetHost } from './nethost.ts';
import type { LabTools } from './provision.ts';
import { Service } from './service.ts';

const PORT = 5000;

/** One answered request. A request is logged when its answer has ended. */
export interface UpstreamRequest {
  readonly method: string;
  readonly uri: string;
  readonly status: number;
  readonly bytes: number;
  readonly remote: string;
  readonly userAgent: string;
}

export class Upstream {
  readonly net: NetHost;
  readonly service: Service;
  readonly #dir: string;
  readonly #skopeo: string;
  #forgotten = 0;

  constructor(tools: LabTools, net: NetHost, dir: string) {
    this.net = net;
    this.#dir = dir;
    this.#skopeo = tools.skopeo;
    this.service = new Service(
      net.on(tools.registry, 'serve', join(dir, 'config.yml')),
      join(dir, 'registry.log'),
    );
  }

  /** The registry's name in references. */
  get registry(): string {
    return `${this.net.address}:${PORT}`;
  }

  get url(): string {
    return `http://${this.registry}`;
  }

  async start(): Promise<void> {
    await mkdir(join(this.#dir, 'storage'), { recursive: true });
    const config = {
      version: 0.1,
      log: { level: 'info', formatter: 'json', accesslog: { disabled: true } },
      storage: {
        filesystem: { rootdirectory: join(this.#dir, 'storage') },
        delete: { enabled: true },
      },
      http: { addr: `:${PORT}`, secret: 'lab' },
    };
    await writeFile(join(this.#dir, 'config.yml'), JSON.stringify(config)); // JSON is YAML
    this.service.start();
    await this.service.ready(() =>
      fetch(`${this.url}/v2/`).then(
        (answer) => answer.ok,
        () => false,
      ),
    );
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
    return this.net.filter(PORT, 'drop');
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
      '--dest-tls-verify=false',
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
