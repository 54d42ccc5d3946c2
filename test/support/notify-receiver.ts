/**
 * systemd's side of NOTIFY_SOCKET: a unix datagram socket, which Node has not, by way of node:ffi.
 */
import { dlopen } from 'node:ffi';
import { waitUntil } from '../../lab/processes/exec.ts';

const { functions: libc } = dlopen(null, {
  socket: { return: 'i32', arguments: ['i32', 'i32', 'i32'] },
  bind: { return: 'i32', arguments: ['i32', 'buffer', 'u32'] },
  recv: { return: 'i64', arguments: ['i32', 'buffer', 'u64', 'i32'] },
  close: { return: 'i32', arguments: ['i32'] },
});
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;

export class NotifyReceiver {
  /** What arrived so far, a message each. */
  readonly messages: string[] = [];
  #descriptor: number;

  /** `name`: a path, or `@name` in the abstract namespace. */
  constructor(name: string) {
    const path = Buffer.from(name.replace(/^@/, '\0'));
    this.#descriptor = libc.socket(AF_UNIX, SOCK_DGRAM, 0);
    const address = Buffer.concat([Buffer.from(Uint16Array.of(AF_UNIX).buffer), path]);
    if (libc.bind(this.#descriptor, address, address.length) !== 0) throw new Error(`bind ${name}`);
  }

  /** Takes what has arrived; all messages so far. */
  read(): readonly string[] {
    const buffer = Buffer.alloc(4096);
    for (;;) {
      const size = Number(libc.recv(this.#descriptor, buffer, BigInt(buffer.length), MSG_DONTWAIT));
      if (size < 0) return this.messages;
      this.messages.push(buffer.toString('utf8', 0, size));
    }
  }

  async until(message: string): Promise<void> {
    const has = () => this.read().includes(message);
    await waitUntil(`${message} arrives`, has, { timeoutMs: 5_000, everyMs: 5 });
  }

  close(): void {
    if (this.#descriptor >= 0) libc.close(this.#descriptor);
    this.#descriptor = -1;
  }
}
