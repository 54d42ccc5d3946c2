import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ListenAddress } from '../base/address.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { HttpServer } from '../http/server.ts';
import type { Bootstrapper, OwnMultiaddrs } from './bootstrapper.ts';
import { PAGE_LIMITS } from './constants.ts';
import { getPage } from './http-client.ts';
import { formatPeerInfo, type InfoFormat, parsePeerInfo } from './peer-info.ts';

export interface HttpBootstrapperParts {
  readonly log: Logger;
  readonly own: OwnMultiaddrs;
}

export interface HttpBootstrapperSettings {
  /** Where `/id` is served; undefined: nowhere. */
  readonly address: ListenAddress | undefined;
  /** The full URLs that are asked. */
  readonly urls: readonly string[];
  /** Port of our own router, for addresses that come without a port. */
  readonly routerPort: number;
}

const FORMATS = new Map<string | null, InfoFormat>([
  [null, 'object'],
  ['object', 'object'],
  ['text', 'text'],
  ['list', 'list'],
]);

/**
 * Tells others at `--http-bootstrap-addr` how to reach this node, and asks the URLs of
 * `--http-bootstrap-url` for peers. The answers have the forms of Go Spegel, of which each release
 * reads one: `/id` has the form of the newest release, `/id?format=text` that of 0.3, and
 * `/id?format=list` that of the next release, whose clients take a whole URL.
 */
export class HttpBootstrapper implements Bootstrapper {
  readonly kind = 'http';
  readonly #parts: HttpBootstrapperParts;
  readonly #settings: HttpBootstrapperSettings;
  #server: HttpServer | undefined;

  constructor(parts: HttpBootstrapperParts, settings: HttpBootstrapperSettings) {
    this.#parts = parts;
    this.#settings = settings;
  }

  /** The port that is served, also if the settings name 0; undefined if none is. */
  get port(): number | undefined {
    return this.#server?.port;
  }

  /** Rejects with SpegelError ERR_LISTEN. */
  async start(signal: AbortSignal): Promise<void> {
    const { address } = this.#settings;
    if (address === undefined) return;
    const handler = (request: IncomingMessage, response: ServerResponse) =>
      this.#answer(request, response);
    this.#server = new HttpServer(
      { handler, log: this.#parts.log },
      { address, name: 'http bootstrapper', option: '--http-bootstrap-addr' },
    );
    await this.#server.start(signal);
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }

  async addresses(signal: AbortSignal): Promise<readonly string[]> {
    const lists = await Promise.all(this.#settings.urls.map((url) => this.#ask(url, signal)));
    return [...new Set(lists.flat())];
  }

  async #ask(url: string, signal: AbortSignal): Promise<string[]> {
    try {
      const { text, ip } = await getPage(url, PAGE_LIMITS, signal);
      return parsePeerInfo(text, ip, this.#settings.routerPort);
    } catch (error) {
      this.#parts.log.debug('bootstrap url gives no peer', { url, error: messageOf(error) });
      return [];
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { status, body, type = TEXT } = this.#answerTo(request);
    response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' }).end(body);
  }

  #answerTo({ method, url = '' }: IncomingMessage): Answer {
    const [path, query] = url.split('?', 2);
    const format = FORMATS.get(new URLSearchParams(query).get('format'));
    if (path !== '/id') return { status: 404, body: 'expected /id\n' };
    if (method !== 'GET' && method !== 'HEAD') return { status: 405, body: 'expected GET\n' };
    if (format === undefined)
      return { status: 400, body: 'expected format=text, object or list\n' };
    const own = this.#parts.own();
    if (own.length === 0) return { status: 503, body: 'this node has no address yet\n' };
    const type = format === 'text' ? TEXT : 'application/json';
    return { status: 200, body: formatPeerInfo(own, format), type };
  }
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
}

const TEXT = 'text/plain; charset=utf-8';
