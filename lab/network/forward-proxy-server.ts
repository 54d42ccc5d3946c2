/**
 * An HTTP proxy as administrators run one: takes requests with a whole URL, and CONNECT. A program,
 * started by forward-proxy.ts on a host of its own: `forward-proxy-server.ts PORT`. Logs one line
 * for each request.
 */
import http from 'node:http';
import net from 'node:net';

const server = http.createServer((request, response) => {
  const { method, headers, url = '' } = request;
  // forward-proxy.ts asks so until the proxy is there.
  if (!url.startsWith('http:')) return response.writeHead(400).end();
  process.stdout.write(`${method} ${url}\n`);
  const onward = http.request(url, { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.once('error', () => response.destroy());
  request.pipe(onward);
});
server.on('connect', ({ url = '' }, socket: net.Socket) => {
  process.stdout.write(`CONNECT ${url}\n`);
  const [host, port] = url.split(':');
  const onward = net.connect(Number(port), host, () => {
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    socket.pipe(onward).pipe(socket);
  });
  onward.on('error', () => socket.destroy());
  socket.on('error', () => onward.destroy());
});
server.listen(Number(process.argv[2]));
