/**
 * Servers on one host of the lab that write down what they are asked. A program, started by
 * asked.ts inside of the host's network namespace: `asked-server.ts SPEC`, SPEC being an AskedSpec
 * as JSON.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { TLSSocket } from 'node:tls';
import type { AskedServer, AskedSpec } from './asked.ts';

const TLS_HANDSHAKE = 0x16;
const { log, servers } = JSON.parse(process.argv[2] ?? '') as AskedSpec;

function say(entry: object): void {
  appendFileSync(log, `${JSON.stringify(entry)}\n`);
}

/** Passes a request on, or answers 404. */
function answerer({ name, to }: AskedServer): http.RequestListener {
  return (request, response) => {
    const { method, url: path, headers, socket } = request;
    const scheme = socket instanceof TLSSocket ? 'https' : 'http';
    const client =
      socket instanceof TLSSocket ? socket.getPeerCertificate().subject?.CN : undefined;
    say({ by: name, method, path, headers, scheme, client });
    if (to === undefined) {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end(`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"${name}"}]}`);
      return;
    }
    const [host, port] = to.split(':');
    const onward = http.request({ host, port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.once('error', () => response.destroy());
    request.pipe(onward);
  };
}

function serverOf(server: AskedServer): net.Server {
  if (server.tls) {
    const { cert, key } = server.tls;
    const files = { cert: readFileSync(cert), key: readFileSync(key) };
    const clients = { requestCert: server.asksClients ?? false, rejectUnauthorized: false };
    return https.createServer({ ...files, ...clients }, answerer(server));
  }
  const plain = http.createServer(answerer(server));
  plain.on('clientError', (error: Error & { rawPacket?: Buffer }, socket: net.Socket) => {
    if (error.rawPacket?.[0] === TLS_HANDSHAKE) say({ by: server.name, method: 'TLS', path: '' });
    // As Go's server answers, by which containerd knows to try again without TLS.
    socket.end('HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n');
  });
  return plain;
}

/** Passes bytes on as they are, and writes nothing down. */
function forwarder(to: string): net.Server {
  const [host, port] = to.split(':');
  return net.createServer((socket) => {
    const onward = net.connect(Number(port), host);
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
    socket.pipe(onward).pipe(socket);
  });
}

let starting = servers.length;
for (const server of servers) {
  const listener = server.raw && server.to ? forwarder(server.to) : serverOf(server);
  listener.listen(server.port, server.host ?? '127.0.0.1', () => {
    starting -= 1;
    if (starting === 0) say({ ready: true });
  });
}
