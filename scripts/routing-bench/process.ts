import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

type Result<Method> = Method extends (...given: never[]) => infer R ? Awaited<R> : never;
type Given<Method> = Method extends (...given: infer P) => unknown ? P : never;

/** A process that hosts nodes; `Nodes` is the class whose methods it answers. */
export class NodesProcess<Nodes> {
  readonly child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #last = 0;

  constructor(kind: 'ours' | 'library' | 'raw') {
    this.child = fork(join(import.meta.dirname, 'host.ts'), [kind], {
      execArgv: ['--expose-gc', ...(process.env.BENCH_NODE_ARGS?.split(' ') ?? [])],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.child.on('message', ({ id, result, error }: Reply) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    this.child.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('process ended'));
      this.#waiting.clear();
    });
  }

  call<Name extends keyof Nodes & string>(
    method: Name,
    ...given: Given<Nodes[Name]>
  ): Promise<Result<Nodes[Name]>> {
    this.#last += 1;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(this.#last, waiting);
    this.child.send({ id: this.#last, method, given });
    return waiting.promise as Promise<Result<Nodes[Name]>>;
  }

  /** Kills the process, which says no goodbye to its peers, or freezes it. */
  async kill(signal: 'SIGKILL' | 'SIGSTOP' = 'SIGKILL'): Promise<void> {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = signal === 'SIGKILL' ? once(child, 'exit') : undefined;
    child.kill(signal);
    await exited;
  }
}
