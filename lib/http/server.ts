import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { messageOf } from '../base/errors.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import { type ClientKind, ConnectionBounds } from './connection-bounds.ts';
import { endCleanly } from './end-cleanly.ts';
import type { HostCheck } from './host-check.ts';
import { limitUnsentBytes } from './kernel-buffers.ts';
import { type BoundListener, type ListenSettings, listen } from './listen.ts';
import { OwnAddresses } from './own-addresses.ts';
import { openSocketOwner } from './socket-owner.ts';

/**
 * Answers one request. The signal is aborted when the client is gone or the server ends the connection; what
 * the handler holds for the answer is to be freed then.
 */
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
) => Promise<void> | void;

export interface HttpServerSettings extends ListenSettings {
  /** How long running answers may go on after `stop`. */
  readonly drainMs?: number;
  /** How long a client may take for the head of a request. */
  readonly headMs?: number;
  /** Connections at once; tests say so. */
  readonly maxConnections?: Partial<Readonly<Record<ClientKind, number>>>;
}

export interface HttpServerParts {
  readonly handler: Handler;
  readonly log: Logger;
  /** Undefined: the name that a request gives this host does not matter. */
  readonly hostCheck?: HostCheck;
  /** Which clients are this host itself; tests say so. */
  readonly own?: { has(address: string | undefined): boolean };
}

/**
 * An HTTP/1.1 server that strangers cannot exhaust and that ends cleanly: heads, connections and pipelines are
 * bounded, what is no request gets an OCI error, and a connection that has to end ends with FIN.
 */
export class HttpServer implements Part {
  readonly #handler: Handler;
  readonly #log: Logger;
  readonly #hostCheck: HostCheck | undefined;
  readonly #settings: HttpServerSettings;
  readonly #server: Server;
  readonly #bounds: ConnectionBounds;
  /** Every open connection, with what is being answered on it. */
  readonly #connections = new Map<Socket, Set<AbortController>>();
  /** When the last answer on a connection has been sent. */
  readonly #turns = new WeakMap<Socket, Promise<void>>();
  /** Those of them that have asked nothing yet. */
  readonly #unheard = new Set<Socket>();
  #listening: BoundListener | undefined;
  #stopping: Promise<void> | undefined;
  #onChange: () => void = () => {};

  constructor(parts: HttpServerParts, settings: HttpServerSettings) {
    this.#handler = parts.handler;
    this.#log = parts.log;
    this.#hostCheck = parts.hostCheck;
    this.#settings = settings;
    this.#bounds = new ConnectionBounds(
      {
        own: parts.own ?? new OwnAddresses(),
        ownerOf: openSocketOwner(),
        isIdle: (socket) => this.#connections.get(socket)?.size === 0,
        uid: process.geteuid?.(),
      },
      settings.maxConnections,
    );
    this.#server = createServer({ ...LIMITS, headersTimeout: settings.headMs ?? HEAD_MS });
    this.#server.maxHeadersCount = MAX_HEADERS;
    this.#server.keepAliveTimeout = IDLE_MS;
    this.#server.on('connection', (socket) => this.#onConnection(socket));
    this.#server.on('request', (request, response) => this.#onRequest(request, response));
    // Neither an upload nor an expectation is ever met: the answer says so instead of "100 Continue".
    this.#server.on('checkContinue', (request, response) => this.#onRequest(request, response));
    this.#server.on('checkExpectation', (request, response) => this.#onRequest(request, response));
    this.#server.on('connect', (_request, socket: Socket) =>
      refuse(socket, 405, 'no tunnels here'),
    );
    this.#server.on('clientError', (error, socket) => this.#onClientError(error, socket as Socket));
  }

  /** The port it listens on, also when 0 was asked for. */
  get port(): number {
    return this.#listening?.port ?? 0;
  }

  /** The client is on this host, and another user's than root's and this process'. */
  isUsers = (socket: Socket): boolean => this.#bounds.isUsers(socket);

  /** The client elsewhere has shown the key of a closed network: it makes room last. */
  proven = (socket: Socket): void => this.#bounds.proven(socket);

  async start(signal: AbortSignal): Promise<void> {
    const { address, name } = this.#settings;
    signal.throwIfAborted();
    this.#listening = await listen(this.#server, this.#settings, this.#log);
    if (!limitUnsentBytes(this.#server)) this.#log.debug('send queues are not bounded', { name });
    this.#server.on('error', (error) => this.#log.error('server failed', { name, error }));
    this.#log.info('listening', { name, host: address.host, port: this.port });
  }

  /**
   * Lets running answers finish for `drainMs`, then stops accepting and ends them cleanly. New
   * requests get 404 meanwhile: where systemd holds the port they would wait for the next daemon.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#drain();
    return this.#stopping;
  }

  async #drain(): Promise<void> {
    for (const [socket, answers] of this.#connections) {
      if (answers.size === 0 && !this.#unheard.has(socket)) endCleanly(socket);
    }
    await this.#until(() => !this.#busy(), this.#settings.drainMs ?? DRAIN_MS);
    const closed = new Promise<void>((resolve) => {
      // Not the server's own close, which destroys connections on which nothing has come yet.
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
    this.#listening?.close();
    // Accepted by us, they do not reach the next daemon.
    await this.#until(() => this.#unheard.size === 0, UNHEARD_MS);
    for (const socket of this.#connections.keys()) this.#cut(socket);
    await closed;
    // The timer by which it looks for slow heads.
    this.#server.close();
  }

  /** Waits until it is so, which is looked at whenever a connection changes, or for so long. */
  async #until(isSo: () => boolean, ms: number): Promise<void> {
    const over = Promise.withResolvers<void>();
    const timer = setTimeout(over.resolve, ms);
    this.#onChange = () => {
      if (isSo()) over.resolve();
    };
    this.#onChange();
    await over.promise;
    clearTimeout(timer);
  }

  #busy(): boolean {
    return [...this.#connections.values()].some((answers) => answers.size > 0);
  }

  #onConnection(socket: Socket): void {
    this.#connections.set(socket, new Set());
    this.#unheard.add(socket);
    socket.once('close', () => {
      for (const answer of this.#connections.get(socket) ?? []) answer.abort();
      this.#connections.delete(socket);
      this.#unheard.delete(socket);
      this.#onChange();
    });
    const fate = this.#bounds.enter(socket);
    if (fate === 'refused') refuse(socket, 503, 'too many connections');
    else if (fate === 'dropped') socket.destroy();
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    this.#unheard.delete(socket);
    // Refused or ended already: nothing that is written now would arrive.
    if (socket.writableEnded) return;
    const answers = this.#connections.get(socket);
    if (answers === undefined || answers.size >= this.#bounds.mostPipelined(socket)) {
      this.#cut(socket);
      return;
    }
    const answer = new AbortController();
    answers.add(answer);
    // An unheard 'error' would end the process; what it says, 'close' says as well.
    response.on('error', () => {});
    // A body that nobody asked for is drained: unread, it would turn a later close into a reset.
    request.resume();
    const isStopping = this.#stopping !== undefined;
    if (isStopping) response.setHeader('Connection', 'close');
    const isServed = !isStopping && this.#listening?.isMeant(socket);
    const handler = isServed ? this.#handler : sayNothing;
    // One at a time: an answer that the client does not read is memory, and so are those behind it.
    const turn = this.#turns.get(socket) ?? Promise.resolve();
    const answered = turn.then(() => this.#answer(handler, request, response, answer.signal));
    const sent = answered.then(() => untilSent(response, answer.signal));
    this.#turns.set(socket, sent);
    void answered.finally(() => {
      answers.delete(answer);
      if (this.#stopping !== undefined && answers.size === 0) endCleanly(socket);
    });
  }

  async #answer(
    handler: Handler,
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> {
    if (signal.aborted) return;
    try {
      const refusal = this.#refusalOf(request);
      if (refusal === undefined) await handler(request, response, signal);
      else response.writeHead(421, JSON_HEADERS).end(errorBody(refusal, 'DENIED'));
    } catch (error) {
      if (signal.aborted) return;
      const { method, url } = request;
      this.#log.error('request failed', { method, url: url?.slice(0, 200), error });
      if (response.headersSent) this.#cut(request.socket);
      else response.writeHead(500, JSON_HEADERS).end(errorBody(messageOf(error)));
    }
  }

  #refusalOf({ headers, socket }: IncomingMessage): string | undefined {
    // Not of this host's containerd, whatever name its hosts.toml has for us.
    if (this.#bounds.isHosts(socket)) return undefined;
    return this.#hostCheck?.refusal(headers.host, socket.remoteAddress);
  }

  #cut(socket: Socket): void {
    for (const answer of this.#connections.get(socket) ?? []) answer.abort();
    endCleanly(socket);
  }

  #onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    // In the middle of an answer a second one would end up inside its body.
    const answering = (this.#connections.get(socket)?.size ?? 0) > 0;
    if (answering || !socket.writable || error.code === 'ECONNRESET') {
      this.#cut(socket);
    } else {
      const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
      refuse(socket, status, error.code ?? 'malformed request');
    }
  }
}

/** 404 on the way to containerd's fallback is cheap, so all of these can be tight. */
const LIMITS = {
  maxHeaderSize: 16 * 1024,
  requestTimeout: 30_000,
  connectionsCheckingInterval: 1_000,
  // HTTP/1.0 health checks send none, and a missing one is answered by Node without a body.
  requireHostHeader: false,
};
const MAX_HEADERS = 100;
const HEAD_MS = 10_000;

/** Longer than Go's 90 s, so that containerd closes idle connections and never meets one we just closed. */
const IDLE_MS = 120_000;

/** systemd's default patience is 90 s. */
const DRAIN_MS = 10_000;

/** A client asks as soon as it is connected; one that does not has only come to connect. */
const UNHEARD_MS = 500;

const JSON_HEADERS = { 'Content-Type': 'application/json' };

/** Never 408 or 429: containerd would ask the same host five times more. */
const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  431: 'Request Header Fields Too Large',
  503: 'Service Unavailable',
};

/** The error form of the OCI distribution-spec; `oci/` is above this room. */
function errorBody(message: string, code: 'UNSUPPORTED' | 'DENIED' = 'UNSUPPORTED'): string {
  return JSON.stringify({ errors: [{ code, message }] });
}

/** The kernel has all of an answer, or its client is gone. */
async function untilSent(response: ServerResponse, signal: AbortSignal): Promise<void> {
  if (signal.aborted || response.writableFinished || response.closed) return;
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** While it stops, and at an address that is not its own: containerd goes upstream at once. */
function sayNothing(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(404, JSON_HEADERS).end(errorBody('nothing is served here now'));
}

/** Answers what never became a request, and ends the connection. */
function refuse(socket: Socket, status: number, message: string): void {
  const body = errorBody(message);
  endCleanly(
    socket,
    `HTTP/1.1 ${status} ${REASONS[status]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
