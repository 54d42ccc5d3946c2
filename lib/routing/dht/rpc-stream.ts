import type { Stream } from '@libp2p/interface';
import { FrameReader } from './frames.ts';

export type OpenStream = (signal: AbortSignal) => Promise<Stream>;

export interface RpcStreamSettings<Answer> {
  /** Reads an answer; what it throws ends the stream. */
  readonly decode: (bytes: Uint8Array) => Answer;
  readonly maxAnswerBytes: number;
  /** A peer that does not answer this many has stopped reading; more would only fill our memory. */
  readonly maxPending: number;
  /** A request that is older blocks all that follow it: the stream is given up. */
  readonly answerTimeoutMs: number;
}

interface Pending<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (reason: unknown) => void;
  readonly deadline: number;
}

/** Includes a dial: a peer behind a slow link takes seconds for the handshakes when it is busy. */
const OPEN_MS = 5_000;
/** Shorter than kad-dht's and Go's time-outs for idle streams, so that we never write into one that is being reset. */
const IDLE_MS = 8_000;

/**
 * A stream to one peer that is opened when needed and kept while in use: a stream per request would cost ten
 * times as long. Answers come in the order of the requests.
 */
export class RpcStream<Answer> {
  readonly #open: OpenStream;
  readonly #settings: RpcStreamSettings<Answer>;
  #stream: Stream | undefined;
  #opening: Promise<Stream> | undefined;
  #pending: Pending<Answer>[] = [];
  /** Requests that wait for the stream to be opened. */
  #waitingForOpen = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(open: OpenStream, settings: RpcStreamSettings<Answer>) {
    this.#open = open;
    this.#settings = settings;
  }

  /** Whether a stream is there already: then asking costs neither a dial nor a negotiation. */
  get isOpen(): boolean {
    return this.#stream?.status === 'open';
  }

  /**
   * Sends framed messages of which exactly the last is answered, and resolves with that answer. Rejects when
   * the peer cannot be reached, ends the stream, sends garbage, or is silent for too long.
   */
  async exchange(bytes: Uint8Array): Promise<Answer> {
    const { maxPending, answerTimeoutMs: answerMs } = this.#settings;
    if (this.#isClosed || this.#pending.length + this.#waitingForOpen >= maxPending)
      throw new Error('peer does not answer');
    const stream = this.isOpen ? this.#stream : await this.#opened();
    if (stream === undefined || stream !== this.#stream) throw new Error('stream closed');
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject, deadline: performance.now() + answerMs });
      this.#armTimer();
      try {
        stream.send(bytes);
      } catch (error) {
        this.#fail(stream, error);
      }
    });
  }

  /** Ends the stream; whoever waits is rejected. */
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
      const stream = await this.#open(AbortSignal.timeout(OPEN_MS));
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
      const gone = () => this.#fail(stream, new Error('peer closed the stream'));
      stream.addEventListener('close', gone, { once: true });
      stream.addEventListener('remoteCloseWrite', gone, { once: true });
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

  /** One timer: for the oldest request, or for the idle stream when there is none. */
  #armTimer(): void {
    clearTimeout(this.#timer);
    const oldest = this.#pending[0];
    const ms = oldest === undefined ? IDLE_MS : Math.max(0, oldest.deadline - performance.now());
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
