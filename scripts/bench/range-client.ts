/**
 * A client of a host that gets ranges of one blob, and throws them away: `range-client.ts JSON`.
 * Node cannot enter a network namespace, so it is a program. Prints the seconds that it took.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RangeClientOptions {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Of the blob, in bytes. */
  readonly size: number;
  /** Of each range, in bytes. */
  readonly bytes: number;
  /** How many requests, over all connections. */
  readonly count: number;
  readonly connections: number;
  /**
   * Closed ranges, one after the other over each connection; open-ended ones, of which the client
   * takes `bytes` and hangs up; the whole blob each time.
   */
  readonly kind: 'closed' | 'open' | 'whole';
}

/** One connection, read into one buffer. */
class Client {
  readonly socket: Socket;
  #wanted = 0;
  #done = Promise.withResolvers<void>();
  #isHead = true;
  #head = '';

  constructor({ host, port }: RangeClientOptions) {
    const buffer = Buffer.allocUnsafeSlow(256 * 1024);
    const callback = (count: number) => {
      this.#onRead(buffer.subarray(0, count));
      return true;
    };
    this.socket = connect({ host, port, noDelay: true, onread: { buffer, callback } });
    this.socket.on('error', (error) => this.#done.reject(error));
    this.socket.on('end', () => this.#done.reject(new Error('the server ended the connection')));
  }

  /** Resolves when so many bytes of the body are here. */
  get(path: string, range: string, bytes: number): Promise<void> {
    this.#done = Promise.withResolvers();
    this.#wanted = bytes;
    this.#isHead = true;
    this.#head = '';
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: bench\r\n${range}\r\n`);
    return this.#done.promise;
  }

  #onRead(bytes: Buffer): void {
    let { length } = bytes;
    if (this.#isHead) {
      this.#head += bytes.toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end === -1) return;
      this.#isHead = false;
      if (!/^HTTP\/1.1 20[06] /.test(this.#head)) this.#done.reject(new Error(this.#head));
      length = this.#head.length - end - 4;
    }
    this.#wanted -= length;
    if (this.#wanted <= 0) this.#done.resolve();
  }
}

async function run(options: RangeClientOptions): Promise<void> {
  const { path, size, bytes, kind } = options;
  let left = options.count;
  const work = async () => {
    let client = new Client(options);
    await once(client.socket, 'connect');
    while (left > 0) {
      left -= 1;
      const start = (left * bytes) % size;
      const last = Math.min(size, start + bytes);
      if (kind === 'whole') await client.get(path, '', size);
      else if (kind === 'closed')
        await client.get(path, `Range: bytes=${start}-${last - 1}\r\n`, last - start);
      else {
        await client.get(path, `Range: bytes=${start}-\r\n`, last - start);
        client.socket.destroy();
        client = new Client(options);
        await once(client.socket, 'connect');
      }
    }
    client.socket.destroy();
  };
  await Promise.all(Array.from({ length: options.connections }, work));
}

const began = performance.now();
await run(JSON.parse(process.argv[2] ?? '{}'));
process.stdout.write(`${(performance.now() - began) / 1_000}\n`);
