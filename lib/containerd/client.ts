import * as grpc from '@grpc/grpc-js';
import { FLOW_CONTROL_WINDOW_BYTES, MAX_ANSWER_BYTES, MAX_CHANNEL_PAUSE_MS } from './constants.ts';
import type { Method } from './methods.ts';

export interface CallOptions {
  /** Namespace of the call. Namespaces, Introspection, Version and Events need none. */
  readonly namespace?: string;
  /** The call fails with DEADLINE_EXCEEDED after this time. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/** A stream may run without a deadline, as that of events does. */
export interface StreamOptions extends Omit<CallOptions, 'deadlineMs'> {
  readonly deadlineMs?: number;
}

/**
 * Calls containerd over its unix socket. The channel connects again by itself when containerd comes
 * back. A call before that fails at once with UNAVAILABLE.
 */
export class ContainerdClient {
  readonly #client: grpc.Client;

  constructor(socket: string) {
    this.#client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), {
      'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
      'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES,
      'grpc.initial_reconnect_backoff_ms': MAX_CHANNEL_PAUSE_MS,
      'grpc.max_reconnect_backoff_ms': MAX_CHANNEL_PAUSE_MS,
      'grpc.enable_http_proxy': 0,
      // By default all channels to one socket in a process are shared, also those of other daemons
      // in a test.
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /**
   * Sends one request and resolves with the answer. Rejects with grpc's ServiceError, or with the
   * signal's reason.
   */
  unary<Request, Answer>(
    method: Method<Request, Answer>,
    request: Request,
    options: CallOptions,
  ): Promise<Answer> {
    const { signal, deadlineMs } = options;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = () => call.cancel();
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.serialize,
        method.deserialize,
        request,
        metadataOf(options.namespace),
        { deadline: Date.now() + deadlineMs },
        (error, answer) => {
          signal.removeEventListener('abort', onAbort);
          if (error !== null) reject(signal.aborted ? signal.reason : error);
          else if (answer === undefined) reject(new Error(`${method.path} answered nothing`));
          else resolve(answer);
        },
      );
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /**
   * Sends one request when the iteration begins, and yields the answers as fast as the caller takes
   * them. Leaving the loop cancels the call. Throws grpc's ServiceError, or the signal's reason.
   */
  async *stream<Request, Answer>(
    method: Method<Request, Answer>,
    request: Request,
    options: StreamOptions,
  ): AsyncGenerator<Answer, void, undefined> {
    const { signal, deadlineMs } = options;
    signal.throwIfAborted();
    const call: grpc.ClientReadableStream<Answer> = this.#client.makeServerStreamRequest(
      method.path,
      method.serialize,
      method.deserialize,
      request,
      metadataOf(options.namespace),
      deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
    );
    const onAbort = () => call.cancel();
    signal.addEventListener('abort', onAbort, { once: true });
    // Errors after the end of the iteration have no other listener and would be thrown.
    call.on('error', () => {});
    try {
      yield* call as AsyncIterable<Answer>;
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      signal.removeEventListener('abort', onAbort);
      call.cancel();
    }
  }

  /**
   * Sends one request over a stream in both directions. After its answer `use` runs while the call
   * stays open. Resolves when containerd has ended the call. Rejects as `unary` or `use` does.
   */
  async whileOpen<Request, Answer, T>(
    method: Method<Request, Answer>,
    request: Request,
    { namespace, deadlineMs, signal }: CallOptions,
    use: (answer: Answer) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const call: grpc.ClientDuplexStream<Request, Answer> = this.#client.makeBidiStreamRequest(
      method.path,
      method.serialize,
      method.deserialize,
      metadataOf(namespace),
      { deadline: Date.now() + deadlineMs },
    );
    const onAbort = () => call.cancel();
    signal.addEventListener('abort', onAbort, { once: true });
    const first = Promise.withResolvers<Answer>();
    call.once('data', first.resolve);
    const ended = Promise.withResolvers<void>();
    call.on('error', (error) => first.reject(signal.aborted ? signal.reason : error));
    call.once('end', () => first.reject(new Error(`${method.path} answered nothing`)));
    call.once('close', ended.resolve).once('status', () => ended.resolve());
    try {
      call.write(request);
      const result = await use(await first.promise);
      call.end();
      await ended.promise;
      return result;
    } finally {
      signal.removeEventListener('abort', onAbort);
      call.cancel();
    }
  }

  /** Ends all calls and the connection. */
  close(): void {
    this.#client.close();
  }
}

function metadataOf(namespace: string | undefined): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (namespace !== undefined) metadata.set('containerd-namespace', namespace);
  return metadata;
}

/** True if containerd has no such image or content. */
export function isNotFound(error: unknown): boolean {
  return hasStatus(error) && error.code === grpc.status.NOT_FOUND;
}

/** True if containerd has the complete content already. */
export function isAlreadyThere(error: unknown): boolean {
  return hasStatus(error) && error.code === grpc.status.ALREADY_EXISTS;
}

/** True if containerd does not have the method, because its plugin is disabled. */
export function isUnimplemented(error: unknown): boolean {
  return hasStatus(error) && error.code === grpc.status.UNIMPLEMENTED;
}

function hasStatus(error: unknown): error is grpc.ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error;
}
