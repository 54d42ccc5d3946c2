import { ExpiringMap } from '../base/expiring-map.ts';
import type { Instruments } from '../base/instruments.ts';
import { AVAILABLE_HEADER, INFLIGHT_HEADER, SPOILT_STATUS } from '../base/spegel-headers.ts';
import type { Body } from '../http/body.ts';
import { BufferPool } from '../http/buffers.ts';
import { READ_TIMEOUT_MS, SERVE_BUFFERS } from '../http/constants.ts';
import { FileBody } from '../http/file-body.ts';
import { resolveRange } from '../http/ranges.ts';
import type { Digest } from '../oci/digest.ts';
import { OCTET_STREAM } from '../oci/media-types.ts';
import type { InflightSource, InflightSources } from '../store/store.ts';
import {
  type BlobSelection,
  type Call,
  sendBody,
  sendError,
  sendWhole,
  writeBlobHead,
} from './call.ts';
import { RelayTails } from './relay-tail.ts';

export interface InflightParts {
  readonly content: InflightSources;
  readonly instruments: Instruments;
  /** For how long content may stand still before `content` itself ends its readers, in milliseconds. */
  readonly standStillMs: number;
}

/**
 * Content that this host's containerd is still downloading, for peers that ask for such. Only what this containerd
 * has asked us for, by a name that may be shared: what else comes into its store is nobody's business.
 */
export class InflightContent {
  readonly #parts: InflightParts;
  readonly #buffers = new BufferPool(SERVE_BUFFERS);
  readonly #asked = new ExpiringMap<true>(MAX_ASKED);
  readonly #tails = new RelayTails();

  constructor(parts: InflightParts) {
    this.#parts = parts;
  }

  /**
   * This host's containerd asks for it from byte `start` on. False: it is not for others until it is complete, since
   * nobody here has seen its beginning: what an earlier life of this host left behind may be zeros after a power
   * cut, containerd goes on behind them, and all who follow would find their pull spoilt.
   */
  asked(digest: Digest, start: number): boolean {
    if (start > 0 && this.#asked.get(digest) === undefined) return false;
    this.#asked.set(digest, true, ASKED_MS);
    return true;
  }

  /** What this host's containerd is sent of it, as it is; peers that read it here have it without a detour. */
  relayed(body: Body, digest: Digest, start: number): Body {
    return this.#tails.feed(body, digest, start);
  }

  /** Answers a peer; false, with nothing written, when it is not for it to have or not on its way. */
  async answer(
    call: Call,
    { registry, digest }: { readonly registry: string; readonly digest: Digest },
    selection: BlobSelection,
  ): Promise<boolean> {
    if (call.request.headers[INFLIGHT_HEADER.toLowerCase()] === undefined) return false;
    if (this.#asked.get(digest) === undefined) return false;
    if (this.#parts.content.isBarred(digest)) {
      sendError(call, SPOILT_STATUS, 'BLOB_UNKNOWN', `${digest} came wrong to this host`);
      return true;
    }
    try {
      const source = await this.#find(digest, selection.isHead, call.signal);
      if (source === undefined) return false;
      const available = await source.available(call.signal);
      await this.#send(call, { registry, source, available }, selection);
      return true;
    } catch (error) {
      if (call.response.headersSent) throw error;
      call.log.debug('content on its way is not to be had', { digest, error });
      return false;
    }
  }

  /**
   * A peer may have been sent here before containerd has begun: that takes a moment. HEAD asks whether it is still on
   * its way, and who gets no answer at once takes this host for dead.
   */
  async #find(
    digest: Digest,
    isHead: boolean,
    signal: AbortSignal,
  ): Promise<InflightSource | undefined> {
    const { content } = this.#parts;
    const source = await content.inflightSource(digest, signal);
    return isHead || source !== undefined
      ? source
      : content.awaitInflightSource(digest, BEGIN_MS, signal);
  }

  async #send(
    call: Call,
    found: {
      readonly registry: string;
      readonly source: InflightSource;
      readonly available: number;
    },
    { spec, isPartial, isHead }: BlobSelection,
  ): Promise<void> {
    const { registry, source, available } = found;
    const { digest, size } = source;
    const whole = { start: 0, end: size };
    const range = spec === undefined ? whole : resolveRange(spec, size);
    if (range === undefined) {
      sendWhole(call, 416, { 'Content-Range': `bytes */${size}` }, '');
      return;
    }
    const reader = isHead ? undefined : this.#tails.reader(await source.open(call.signal), digest);
    try {
      // Without it the peer takes silence for death.
      if (available < size) call.response.setHeader(AVAILABLE_HEADER, available);
      writeBlobHead(call, { registry, digest, size, range, isPartial, mediaType: OCTET_STREAM });
    } catch (error) {
      await reader?.close();
      throw error;
    }
    if (reader === undefined) {
      call.response.end();
      return;
    }
    // The first byte may be long in coming; the peer learns now that there is one to wait for.
    call.response.flushHeaders();
    const hangMs = this.#parts.standStillMs + READ_TIMEOUT_MS;
    const body = new FileBody(reader, range, this.#buffers, call.signal, hangMs);
    const { written, result } = await sendBody(call, body, range.end - range.start);
    const done = result === 'complete' ? result : 'aborted';
    this.#parts.instruments.inflightServedBytes.inc({ result: done }, written);
  }
}

/** Layers of the images that are being pulled, with room; a layer of many GB takes no longer than that. */
const MAX_ASKED = 1_024;
const ASKED_MS = 60 * 60_000;

/** containerd opens its ingest before it asks for the bytes. Shorter than a peer waits for an answer's head. */
const BEGIN_MS = 500;
