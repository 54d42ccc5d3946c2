import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

/** A function that has run, by its file relative to the tree and its place in it. */
export interface RunFunction {
  readonly file: string;
  /** `file:name:offset`. */
  readonly id: string;
}

interface Script {
  readonly url: string;
  readonly functions: readonly {
    readonly functionName: string;
    readonly ranges: readonly { readonly startOffset: number; readonly count: number }[];
  }[];
}

const CONNECT_MS = 20_000;

/**
 * Which functions of a Node process run, by V8's precise coverage over the inspector's protocol.
 */
export class Coverage {
  readonly #socket: WebSocket;
  readonly #root: string;
  readonly #answers = new Map<number, (result: unknown) => void>();
  #id = 0;

  private constructor(socket: WebSocket, root: string) {
    this.#socket = socket;
    this.#root = root;
    socket.addEventListener('message', ({ data }) => {
      const { id, result } = JSON.parse(String(data)) as { id?: number; result?: unknown };
      if (id === undefined) return;
      this.#answers.get(id)?.(result);
      this.#answers.delete(id);
    });
  }

  /** Of the process whose inspector listens on a port of loopback, for the sources below `root`. */
  static async of(port: number, root: string): Promise<Coverage> {
    const end = Date.now() + CONNECT_MS;
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${port}/json`).catch(() => undefined);
      const [target] = ((await answer?.json()) ?? []) as { webSocketDebuggerUrl: string }[];
      if (target !== undefined) {
        const socket = new WebSocket(target.webSocketDebuggerUrl);
        await once(socket, 'open');
        const coverage = new Coverage(socket, root);
        await coverage.#call('Profiler.enable');
        await coverage.#call('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
        return coverage;
      }
      if (Date.now() > end) throw new Error(`no inspector on port ${port}`);
    }
  }

  /** What has run since the last call, or since the start. */
  async take(): Promise<RunFunction[]> {
    const { result } = (await this.#call('Profiler.takePreciseCoverage')) as {
      result: readonly Script[];
    };
    return runFunctions(result, this.#root);
  }

  close(): void {
    this.#socket.close();
  }

  #call(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#id;
    const answered = new Promise((resolve) => this.#answers.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params }));
    return answered;
  }
}

/**
 * The functions below `lib/` and `cmd/` of a tree that have run. The top level of a file is none.
 */
export function runFunctions(scripts: readonly Script[], root: string): RunFunction[] {
  return scripts.flatMap(({ url, functions }) => {
    const path = url.startsWith('file:') ? fileURLToPath(url) : '';
    const file = path.slice(root.length + 1);
    if (!path.startsWith(`${root}/`) || !/^(?:lib|cmd)\//.test(file)) return [];
    return functions.flatMap(({ functionName, ranges: [range] }) => {
      if (range === undefined || range.count === 0 || range.startOffset === 0) return [];
      return [{ file, id: `${file}:${functionName}:${range.startOffset}` }];
    });
  });
}

/** A port of loopback that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return address.port;
}
