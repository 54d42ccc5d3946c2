import type { MessageStream, StreamMuxer } from '@libp2p/interface';
import { FRAME_BATCH_BYTES } from './constants.ts';

/** Bytes as libp2p hands them over: an array, or a list of arrays. */
interface Bytes {
  readonly byteLength: number;
  subarray(): Uint8Array;
}

/** Members of yamux's muxer that libp2p's interface does not declare. */
interface YamuxMuxer {
  send(frame: Bytes): boolean;
  _newStream(...settings: readonly unknown[]): YamuxStream;
}

/** The same of its streams. */
interface YamuxStream {
  readonly state: number;
  /** Bytes that the peer may send at once, and those that are left of them. */
  readonly recvWindow: number;
  readonly recvWindowCapacity: number;
  sendWindowUpdate(): void;
}

/** From this state on a stream has been announced to the peer (yamux's StreamState). */
const ESTABLISHED = 3;

/** Byte of a frame that has its type, and the type that says that the connection ends. */
const TYPE_AT = 1;
const GO_AWAY = 3;

/**
 * Sends the frames of one turn of the event loop to the peer together, in one encrypted message and
 * one write: a question of 100 bytes and its answer took a dozen writes on both hosts. The members
 * that it replaces are not the library's public ones; a test fails when they change.
 */
export function batchFrames(muxer: StreamMuxer, connection: MessageStream): void {
  const yamux = muxer as unknown as YamuxMuxer;
  const sendNow = yamux.send.bind(muxer);
  let frames: Uint8Array[] = [];
  let bytes = 0;
  let timer: NodeJS.Immediate | undefined;
  const flush = () => {
    clearImmediate(timer);
    timer = undefined;
    const batch = Buffer.concat(frames);
    frames = [];
    bytes = 0;
    try {
      if (connection.status === 'open') sendNow(batch);
    } catch {
      // The connection has ended, and its streams with it.
    }
  };
  yamux.send = (frame) => {
    // Fails as the library has it fail.
    if (connection.status !== 'open') return sendNow(frame);
    const whole = frame.subarray();
    frames.push(whole);
    bytes += whole.byteLength;
    // The connection is closed next, which does not wait for what is held here.
    const isLast = whole[TYPE_AT] === GO_AWAY;
    if (bytes >= FRAME_BATCH_BYTES || isLast) flush();
    else timer ??= setImmediate(flush);
    return !connection.writableNeedsDrain;
  };
}

/** Members of noise's stream that libp2p's interface does not declare. */
interface NoiseStream {
  readonly decoder?: {
    /** Throws a RangeError for fewer bytes than the length of a message has. */
    lengthDecoder: (bytes: Bytes) => number;
  };
}

const LENGTH_BYTES = 2;
const NOT_ENOUGH = new RangeError('the length of the next message is not here yet');

/**
 * Has noise's decoder throw one and the same error where no further message has arrived. That is so
 * after each read, and the library makes an error with a stack for it.
 */
export function decodeWithoutErrors(connection: MessageStream): void {
  const { decoder } = connection as unknown as NoiseStream;
  if (decoder === undefined) return;
  const decode = decoder.lengthDecoder;
  decoder.lengthDecoder = (bytes) => {
    if (bytes.byteLength < LENGTH_BYTES) throw NOT_ENOUGH;
    return decode(bytes);
  };
}

/**
 * Tells the peer that it may send more only when it has sent half of what it may, as Go's yamux
 * does. The library tells it after each message, which doubles the frames of small ones.
 */
export function sendFewWindowUpdates(muxer: StreamMuxer): void {
  const yamux = muxer as unknown as YamuxMuxer;
  const newStream = yamux._newStream.bind(muxer);
  yamux._newStream = (...settings) => {
    const stream = newStream(...settings);
    const sendNow = stream.sendWindowUpdate.bind(stream);
    stream.sendWindowUpdate = () => {
      const used = stream.recvWindow - stream.recvWindowCapacity;
      if (stream.state < ESTABLISHED || used >= stream.recvWindow / 2) sendNow();
    };
    return stream;
  };
}
