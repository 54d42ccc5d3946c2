import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';

/**
 * What containerd does to a mirror, without containerd: tag, manifest, config and layers, three at
 * once.
 */
export interface Pulled {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: number;
  readonly ms: number;
}

export interface PullObserver {
  readonly onPulled?: (pulled: Pulled) => void;
  /** Called with what has come of one blob so far. */
  readonly onProgress?: (bytes: number) => void;
}

interface Descriptor {
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
}

const MANIFEST_TYPES =
  'application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json';
/** As containerd's default max_concurrent_downloads. */
const CONCURRENCY = 3;

export class PullClient {
  readonly #origin: string;
  readonly #registry: string;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #observer: PullObserver;

  /**
   * `origin` is the mirror (`http://127.0.0.1:5000`), `registry` the one that the reference names.
   */
  constructor(origin: string, registry: string, observer: PullObserver = {}) {
    this.#origin = origin;
    this.#registry = registry;
    this.#observer = observer;
  }

  /** Pulls a whole image; throws when anything is missing or is not what its digest says. */
  async image(repository: string, tag: string): Promise<Pulled[]> {
    try {
      const resolved = await this.#request(`/v2/${repository}/manifests/${tag}`, 'HEAD');
      resolved.resume();
      const digest = String(resolved.headers['docker-content-digest']);
      const chunks: Buffer[] = [];
      const mediaType = String(resolved.headers['content-type']);
      const path = `/v2/${repository}/manifests/${digest}`;
      const first = await this.#fetch(path, { digest, mediaType }, (chunk) => chunks.push(chunk));
      const manifest = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
        config: Descriptor;
        layers: Descriptor[];
      };
      const queue = [manifest.config, ...manifest.layers];
      const pulled = [first];
      const worker = async () => {
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
          pulled.push(await this.blob(repository, next));
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, worker));
      return pulled;
    } finally {
      this.#agent.destroy();
    }
  }

  /** One blob, checked against its digest and its size. */
  async blob(repository: string, { digest, size, mediaType }: Descriptor): Promise<Pulled> {
    const pulled = await this.#fetch(`/v2/${repository}/blobs/${digest}`, { digest, mediaType });
    if (pulled.bytes !== size) throw new Error(`${digest}: ${pulled.bytes} bytes, not ${size}`);
    return pulled;
  }

  async #fetch(
    path: string,
    { digest, mediaType }: Omit<Descriptor, 'size'>,
    onChunk: (chunk: Buffer) => void = () => {},
  ): Promise<Pulled> {
    const started = performance.now();
    const hash = createHash('sha256');
    let bytes = 0;
    // A body that ends too early goes on at that byte, as with containerd; only if more came than
    // the last time.
    for (let before = -1, isWhole = false; !isWhole; ) {
      const answer = await this.#request(path, 'GET', bytes);
      try {
        for await (const chunk of answer as AsyncIterable<Buffer>) {
          hash.update(chunk);
          bytes += chunk.length;
          onChunk(chunk);
          this.#observer.onProgress?.(bytes);
        }
        isWhole = true;
      } catch (error) {
        if (bytes === before) throw error;
        before = bytes;
      }
    }
    const got = `sha256:${hash.digest('hex')}`;
    if (got !== digest) throw new Error(`expected ${digest}, got ${bytes} bytes of ${got}`);
    const pulled = { digest, mediaType, bytes, ms: performance.now() - started };
    this.#observer.onPulled?.(pulled);
    return pulled;
  }

  async #request(path: string, method: string, start = 0): Promise<IncomingMessage> {
    const url = `${this.#origin}${path}?ns=${encodeURIComponent(this.#registry)}`;
    const range = start === 0 ? {} : { range: `bytes=${start}-` };
    const headers = { accept: MANIFEST_TYPES, ...range };
    const request = get(url, { method, agent: this.#agent, headers });
    const [answer] = (await once(request, 'response')) as [IncomingMessage];
    if (answer.statusCode === (start === 0 ? 200 : 206)) return answer;
    answer.resume();
    throw new Error(`${method} ${url}: ${answer.statusCode}`);
  }
}
