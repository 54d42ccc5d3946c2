import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { messageOf } from '../base/errors.ts';
import type { Part } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import { type ClientKind, ConnectionBounds } from './connection-bounds.ts';
import {
  DRAIN_MS,
  FIRST_REQUEST_MS,
  HEAD_TIMEOUT_MS,
  IDLE_MS,
  MAX_REQUEST_HEAD_BYTES,
  MAX_REQUEST_HEADERS,
  REQUEST_TIMEOUT_MS,
  TIMEOUT_CHECK_MS,
} from './constants.ts';
import { endCleanly } from './end-cleanly.ts';
import { refuse, sendHttpError, sendNotServed } from './error-answers.ts';
import type { HostCheck } from './host-check.ts';
import { limitUnsentBytes } from './kernel-buffers.ts';
import { type BoundListener, type ListenSettings, listen } from './listen.ts';
import { OwnAddresses } from './own-addresses.ts';
import { openSocketOwner } from './socket-owner.ts';

/** What the server knows of the client behind a connection. */
export interface ConnectedClient {
  /** The client is on this host, and its user is neither root nor this process's own. */
  isOtherUser(): boolean;
  /** The client has shown the key of a closed network: its connection makes room last. */
  markProven(): void;
}

/**
 * Answers one request. The signal is aborted when the client is gone or the server ends the
 * connection: then the handler frees what it holds for the answer.
 */
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
  client: ConnectedClient,
) => Promise<void> | void;

export interface HttpServerSettings extends ListenSettings {
  /** How long running answers may go on after `stop`. */
  readonly drainMs?: number;
  /** How long the head of a request may take. */
  readonly headMs?: number;
  /** Connections at once; tests give it. */
  readonly maxConnections?: Partial<Readonly<Record<ClientKind, number>>>;
}

export interface HttpServerParts {
  readonly handler: Handler;
  readonly log: Logger;
  /** Undefined: requests may name any host. */
  readonly hostCheck?: HostCheck;
  /** Which client addresses are this host's; tests give it. */
  readonly own?: { has(address: string | undefined): boolean };
}

/**
 * An HTTP/1.1 server that other hosts cannot exhaust and that ends cleanly: heads, connections and
 * pipelines are bounded, what is no request gets an OCI error, and a connection ends with FIN.
 */
export class HttpServer implements Part {
  readonly #handler: Handler;
  readonly #log: Logger;
  readonly #hostCheck: HostCheck | undefined;
  readonly #settings: HttpServerSettings;
  readonly #server: Server;
  readonly #bounds: ConnectionBounds;
  /** Every open connection, with the requests that are being answered on it. */
  readonly #connections = new Map<Socket, Set<AbortController>>();
  /** Resolves when the last answer on a connection has been sent. */
  readonly #turns = new WeakMap<Socket, Promise<void>>();
  /** The connections on which no request has come yet. */
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
        isUnheard: (socket) => this.#unheard.has(socket),
        uid: process.geteuid?.(),
      },
      settings.maxConnections,
    );
    this.#server = createServer({
      ...LIMITS,
      headersTimeout: settings.headMs ?? HEAD_TIMEOUT_MS,
    });
    this.#server.maxHeadersCount = MAX_REQUEST_HEADERS;
    this.#server.keepAliveTimeout = IDLE_MS;
    this.#server.on('connection', (socket) => this.#onConnection(socket));
    this.#server.on('request', (request, response) => this.#onRequest(request, response));
    // No upload and no expectation is ever met: the answer says so instead of "100 Continue".
    this.#server.on('checkContinue', (request, response) => this.#onRequest(request, response));
    this.#server.on('checkExpectation', (request, response) => this.#onRequest(request, response));
    this.#server.on('connect', (_request, socket: Socket) =>
      this.#refuse(socket, 405, 'no tunnels here'),
    );
    this.#server.on('clientError', (error, socket) => this.#onClientError(error, socket as Socket));
  }

  /** The port it listens on, also when 0 was asked for. */
  get port(): number {
    return this.#listening?.port ?? 0;
  }

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
    await this.#until(() => !this.#isBusy(), this.#settings.drainMs ?? DRAIN_MS);
    const closed = new Promise<void>((resolve) => {
      // http.Server's own close would destroy connections on which no request has come yet.
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
    this.#listening?.close();
    // These connections are accepted here, so the next daemon cannot answer them.
    await this.#until(() => this.#unheard.size === 0, FIRST_REQUEST_MS);
    for (const socket of this.#connections.keys()) this.#cut(socket);
    await closed;
    // Ends the timer of its checks for slow heads.
    this.#server.close();
  }

  /** Waits until the condition holds, but at most `ms`. Checks whenever a connection changes. */
  async #until(condition: () => boolean, ms: number): Promise<void> {
    const over = Promise.withResolvers<void>();
    const timer = setTimeout(over.resolve, ms);
    this.#onChange = () => {
      if (condition()) over.resolve();
    };
    this.#onChange();
    await over.promise;
    clearTimeout(timer);
  }

  #isBusy(): boolean {
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
    const decision = this.#bounds.enter(socket);
    if (decision === 'refused') refuse(socket, 503, 'too many connections');
    else if (decision === 'dropped') socket.destroy();
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    this.#unheard.delete(socket);
    // Refused or ended already: an answer would not arrive.
    if (socket.writableEnded) return;
    const answers = this.#connections.get(socket);
    if (answers === undefined || answers.size >= this.#bounds.maxPipelined(socket)) {
      this.#cut(socket);
      return;
    }
    const answer = new AbortController();
    answers.add(answer);
    // Without a listener an error would end the process. 'close' follows it.
    response.on('error', () => {});
    // Drains a request's body: unread, it would turn a later close into a reset.
    request.resume();
    const isStopping = this.#stopping !== undefined;
    if (isStopping) response.setHeader('Connection', 'close');
    const isServed = !isStopping && this.#listening?.isAtSetAddress(socket);
    const handler = isServed ? this.#handler : sendNotServed;
    // One answer at a time: those that a client does not read stay in memory.
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
      if (refusal !== undefined) sendHttpError(response, 421, refusal, 'DENIED');
      else await handler(request, response, signal, this.#clientOf(request.socket));
    } catch (error) {
      if (signal.aborted) return;
      const { method, url } = request;
      this.#log.error('request failed', { method, url: url?.slice(0, 200), error });
      if (response.headersSent) this.#cut(request.socket);
      else sendHttpError(response, 500, messageOf(error));
    }
  }

  #clientOf(socket: Socket): ConnectedClient {
    return {
      isOtherUser: () => this.#bounds.isOtherUser(socket),
      markProven: () => this.#bounds.markProven(socket),
    };
  }

  #refusalOf({ headers, socket }: IncomingMessage): string | undefined {
    // This host's containerd may use any name that its hosts.toml has.
    if (this.#bounds.isOwnUser(socket)) return undefined;
    return this.#hostCheck?.refusal(headers.host, socket.remoteAddress);
  }

  #cut(socket: Socket): void {
    for (const answer of this.#connections.get(socket) ?? []) answer.abort();
    endCleanly(socket);
  }

  #onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === 'ECONNRESET') {
      this.#cut(socket);
    } else {
      const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
      this.#refuse(socket, status, error.code ?? 'malformed request');
    }
  }

  /** Answers what is no request. Behind one that is being answered, it ends that answer. */
  #refuse(socket: Socket, status: number, message: string): void {
    // A second answer would end up inside the body of the first one.
    const isAnswering = (this.#connections.get(socket)?.size ?? 0) > 0;
    if (isAnswering || !socket.writable) this.#cut(socket);
    else refuse(socket, status, message);
  }
}

const LIMITS = {
  maxHeaderSize: MAX_REQUEST_HEAD_BYTES,
  requestTimeout: REQUEST_TIMEOUT_MS,
  connectionsCheckingInterval: TIMEOUT_CHECK_MS,
  // HTTP/1.0 health checks send none, and a missing one is answered by Node without a body.
  requireHostHeader: false,
};

/** Resolves when the kernel has all of an answer, or its client is gone. */
async function untilSent(response: ServerResponse, signal: AbortSignal): Promise<void> {
  if (signal.aborted || response.writableFinished || response.closed) return;
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
