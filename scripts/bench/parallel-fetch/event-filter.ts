/** A socket before containerd's own. It hides from its clients that content has landed. */
import { connect, createServer, type Server, type Socket } from 'node:net';

/**
 * As the daemon names it in its subscription (lib/containerd/events.ts), and one of the same length
 * that never comes.
 */
const TOPIC = 'topic=="/content/create"';
const NO_TOPIC = 'topic=="/content/absent"';

/**
 * Passes everything on and changes one thing: in a subscription to events, content that has landed
 * becomes a topic that no containerd has. So a daemon behind it learns of an image when it is
 * complete, as with containerd 1.x.
 */
export class EventFilter implements AsyncDisposable {
  readonly socket: string;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  #hidden = 0;

  private constructor(socket: string, containerd: string) {
    this.socket = socket;
    this.#server = createServer((daemon) => this.#pass(daemon, connect(containerd)));
  }

  static async listen(socket: string, containerd: string): Promise<EventFilter> {
    const self = new EventFilter(socket, containerd);
    await new Promise<void>((resolve, reject) => {
      self.#server.once('error', reject).listen(socket, resolve);
    });
    return self;
  }

  /** Subscriptions that were changed. */
  get hidden(): number {
    return this.#hidden;
  }

  #pass(daemon: Socket, containerd: Socket): void {
    for (const [from, to] of [
      [daemon, containerd],
      [containerd, daemon],
    ] as const) {
      this.#open.add(from);
      from.on('error', () => to.destroy()).on('close', () => this.#open.delete(from));
    }
    daemon.on('close', () => containerd.destroy());
    containerd.on('close', () => daemon.destroy()).pipe(daemon);
    daemon.on('data', (bytes: Buffer) => {
      // A subscription is a hundred bytes of one frame, uncompressed: it is not cut in two on a
      // local socket.
      const at = bytes.indexOf(TOPIC);
      if (at !== -1) this.#hidden += bytes.write(NO_TOPIC, at) > 0 ? 1 : 0;
      containerd.write(bytes);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
