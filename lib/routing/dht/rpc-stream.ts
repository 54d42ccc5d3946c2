import type { Stream } from '@libp2p/interface';
import { OUTBOUND_STREAM_IDLE_MS, STREAM_OPEN_MS } from './constants.ts';
import { FrameReader } from './frames.ts';

export type OpenStream = (signal: AbortSignal) => Promise<Stream>;

export interface RpcStreamSettings<Answer> {
  /** Reads an answer. An error that it throws ends the stream. */
  readonly decode: (bytes: Uint8Array) => Answer;
  readonly maxAnswerBytes: number;
  /** A peer that leaves this many requests unanswered has stopped reading: a further one fails. */
  readonly maxPending: number;
  /** An older request blocks all that follow it: the stream is given up. */
  readonly answerTimeoutMs: number;
}

interface PendingRequest<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (reason: unknown) => void;
  /** On the monotonic clock in ms. */
  readonly deadline: number;
}

/**
 * A stream to one peer that is opened when it is needed and stays open while it is in use: a stream
 * per request takes ten times as long. Answers arrive in the order of the requests.
 */
export class RpcStream<Answer> {
  readonly #open: OpenStream;
  readonly #settings: RpcStreamSettings<Answer>;
  #stream: Stream | undefined;
  #opening: Promise<Stream> | undefined;
  #pending: PendingRequest<Answer>[] = [];
  /** Requests that wait until the stream is open. */
  #waitingForOpen = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(open: OpenStream, settings: RpcStreamSettings<Answer>) {
    this.#open = open;
    this.#settings = settings;
  }

  /** Whether a stream is open, so that a request needs neither a dial nor a negotiation. */
  get isOpen(): boolean {
    return this.#stream?.status === 'open';
  }

  /**
   * Sends framed messages, of which exactly the last is answered, and resolves with that answer.
   * Rejects when the peer cannot be reached, ends the stream, sends an unreadable answer, or is
   * silent for `answerTimeoutMs`.
   */
  async exchange(bytes: Uint8Array): Promise<Answer> {
    const { maxPending, answerTimeoutMs } = this.#settings;
    if (this.#isClosed || this.#pending.length + this.#waitingForOpen >= maxPending)
      throw new Error('peer does not answer');
    const stream = this.isOpen ? this.#stream : await this.#opened();
    if (stream === undefined || stream !== this.#stream) throw new Error('stream closed');
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject, deadline: performance.now() + answerTimeoutMs });
      this.#armTimer();
      try {
        stream.send(bytes);
      } catch (error) {
        this.#fail(stream, error);
      }
    });
  }

  /** Ends the stream and rejects all requests. */
  close(): void {
    this.#isClosed = true;
    if (this.#stream !== undefined) this.#fail(this.#stream, new Error('router stopped'));
  }

  async #opened(): Promise<Stream> {
    this.#waitingForOpen++;
    try {
      this.#opening ??= this.#connect();
      return await this.#opening;
    } finally {
      this.#waitingForOpen--;
    }
  }

  async #connect(): Promise<Stream> {
    try {
      const stream = await this.#open(AbortSignal.timeout(STREAM_OPEN_MS));
      if (this.#isClosed) stream.abort(new Error('router stopped'));
      const { maxAnswerBytes, decode } = this.#settings;
      const reader = new FrameReader(maxAnswerBytes);
      stream.addEventListener('message', ({ data }) => {
        try {
          for (const message of reader.push(data)) this.#answered(decode(message));
        } catch (error) {
          this.#fail(stream, error);
        }
      });
      const onEnd = () => this.#fail(stream, new Error('peer closed the stream'));
      stream.addEventListener('close', onEnd, { once: true });
      stream.addEventListener('remoteCloseWrite', onEnd, { once: true });
      this.#stream = stream;
      return stream;
    } finally {
      this.#opening = undefined;
    }
  }

  #answered(answer: Answer): void {
    const pending = this.#pending.shift();
    if (pending === undefined) throw new Error('answer without a request');
    this.#armTimer();
    pending.resolve(answer);
  }

  /** Starts the one timer: for the oldest request or, without requests, for the idle stream. */
  #armTimer(): void {
    clearTimeout(this.#timer);
    const oldest = this.#pending[0];
    const ms =
      oldest === undefined
        ? OUTBOUND_STREAM_IDLE_MS
        : Math.max(0, oldest.deadline - performance.now());
    this.#timer = setTimeout(() => {
      if (this.#stream !== undefined) this.#fail(this.#stream, new Error('no answer'));
    }, ms);
    this.#timer.unref();
  }

  #fail(stream: Stream, reason: unknown): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    clearTimeout(this.#timer);
    const pending = this.#pending;
    this.#pending = [];
    stream.abort(reason instanceof Error ? reason : new Error(String(reason)));
    for (const { reject } of pending) reject(reason);
  }
}
