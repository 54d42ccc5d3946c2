/**
 * Registries with faults on one host of the lab. A program, started by switchable-registry.ts
 * inside of the host's network namespace: `switchable-server.ts SPEC`, SPEC being a SwitchableSpec
 * as JSON. Told by `PUT /<name>` at the control port what fault each is in; `GET /<name>` there
 * says what it was asked.
 */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  Fault,
  Faults,
  RecordedRequest,
  RegistrySpec,
  RequestKind,
  SwitchableSpec,
} from './switchable-registry.ts';

const { control, registries, to, tls } = JSON.parse(process.argv[2] ?? '') as SwitchableSpec;
/** A slow body is sent in this many pieces. */
const PIECES = 40;
const SMALL_BYTES = 1_024;

function kindOf(path: string): RequestKind {
  if (path.startsWith('/token')) return 'token';
  if (path.includes('/blobs/')) return 'blob';
  const [, reference] = /\/manifests\/([^?]+)/.exec(path) ?? [];
  if (reference !== undefined) return reference.includes(':') ? 'digest' : 'tag';
  return path.includes('/tags/list') ? 'list' : 'ping';
}

const tokenFor = (scope: string) => Buffer.from(scope).toString('base64url');

class SwitchableServer {
  readonly #spec: RegistrySpec;
  readonly #sockets = new Set<net.Socket>();
  #faults: Faults = {};
  #server: http.Server | undefined;
  requests: RecordedRequest[] = [];

  constructor(spec: RegistrySpec) {
    this.#spec = spec;
  }

  async setFaults(faults: Faults): Promise<void> {
    this.#faults = faults;
    if (faults.isGone) {
      this.#server?.close();
      for (const socket of this.#sockets) socket.destroy();
      this.#server = undefined;
    } else {
      await this.listen();
    }
  }

  async listen(): Promise<void> {
    if (this.#server !== undefined) return;
    const answer: http.RequestListener = (request, response) =>
      void this.#answer(request, response);
    const files = tls && { cert: readFileSync(tls.cert), key: readFileSync(tls.key) };
    const server =
      this.#spec.isTls && files ? https.createServer(files, answer) : http.createServer(answer);
    server.on('connection', (socket: net.Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#server = server;
    const { promise, resolve } = Promise.withResolvers<void>();
    server.listen(this.#spec.port, () => resolve());
    await promise;
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers } = request;
    const kind = kindOf(path);
    const from = request.socket.remoteAddress?.replace('::ffff:', '') ?? '';
    this.requests.push({ kind, method, path, userAgent: headers['user-agent'] ?? '', from });
    const fault: Fault = this.#faults[kind] ?? {};
    if (fault.delayMs !== undefined) await sleep(fault.delayMs);
    if (fault.isSilent) return;
    if (fault.hangsUp) request.socket.destroy();
    else if (fault.status !== undefined) response.writeHead(fault.status, fault.headers).end();
    else if (kind === 'token') sendToken(path, response);
    else if (!this.#isLetIn(request, path)) this.#challenge(request, path, response);
    else passOn(request, response, fault.lastsMs ?? 0);
  }

  #isLetIn({ headers }: http.IncomingMessage, path: string): boolean {
    const { authorization } = headers;
    const { password } = this.#faults;
    if (password !== undefined) {
      return authorization === `Basic ${Buffer.from(password).toString('base64')}`;
    }
    return !this.#spec.wantsToken || authorization === `Bearer ${tokenFor(scopeOf(path))}`;
  }

  #challenge({ headers }: http.IncomingMessage, path: string, response: http.ServerResponse): void {
    const bearer = [
      `Bearer realm="http://${headers.host}/token"`,
      'service="lab"',
      ...(scopeOf(path) === '' ? [] : [`scope="${scopeOf(path)}"`]),
    ].join(',');
    const challenge = this.#faults.password === undefined ? bearer : 'Basic realm="lab"';
    response.writeHead(401, { 'WWW-Authenticate': challenge }).end();
  }
}

/** As Docker Hub names what a token is for. */
function scopeOf(path: string): string {
  const [, repository] = /^\/v2\/(.+)\/(?:manifests|blobs|tags)\//.exec(path) ?? [];
  return repository === undefined ? '' : `repository:${repository}:pull`;
}

/** Everybody gets one: it is public. */
function sendToken(path: string, response: http.ServerResponse): void {
  const scope = new URL(path, 'http://token').searchParams.get('scope') ?? '';
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ token: tokenFor(scope) }));
}

function passOn(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  lastsMs: number,
): void {
  const [host, port] = to.split(':');
  const { method, url: path } = request;
  const { authorization: _, ...headers } = request.headers;
  const onward = http.request({ host, port, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    if (lastsMs === 0) answer.pipe(response);
    else void drip(answer, response, lastsMs);
  });
  onward.once('error', () => response.destroy());
  request.pipe(onward);
}

/**
 * Sends a layer evenly over `lastsMs`, so that no client takes it for silence. A body below
 * SMALL_BYTES is sent at once.
 */
async function drip(answer: http.IncomingMessage, response: http.ServerResponse, lastsMs: number) {
  const body = Buffer.concat(await answer.toArray());
  if (body.byteLength < SMALL_BYTES) return response.end(body);
  const size = Math.max(1, Math.ceil(body.byteLength / PIECES));
  for (let at = 0; at < body.byteLength && !response.destroyed; at += size) {
    response.write(body.subarray(at, at + size));
    await sleep(lastsMs / PIECES);
  }
  response.end();
}

const all = new Map(registries.map((spec) => [`/${spec.name}`, new SwitchableServer(spec)]));
await Promise.all([...all.values()].map((one) => one.listen()));

const controller = http.createServer(async (request, response) => {
  const switchable = all.get(request.url ?? '');
  if (request.method === 'PUT') {
    const faults = Buffer.concat(await request.toArray()).toString();
    await switchable?.setFaults(JSON.parse(faults) as Faults);
  }
  response.end(JSON.stringify(switchable?.requests ?? []));
});
controller.listen(control);
