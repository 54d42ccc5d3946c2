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
import {
  ASKED_DIGEST_MS,
  BEGINS_WITHIN_MS,
  INGEST_BEGIN_MS,
  MAX_ASKED_DIGESTS,
} from './constants.ts';
import { RelayTails } from './relay-tail.ts';

export interface InflightParts {
  readonly content: InflightSources;
  readonly instruments: Instruments;
  /** How long content may get no bytes before `content` itself ends its readers. */
  readonly standStillMs: number;
}

/**
 * Gives peers content that this host's containerd is still downloading, when they ask for it. Gives
 * only what containerd asked this registry for, by a name that may be shared: whatever else comes
 * into its store is private.
 */
export class InflightContent {
  readonly #parts: InflightParts;
  readonly #buffers = new BufferPool(SERVE_BUFFERS);
  readonly #asked = new ExpiringMap<number>(MAX_ASKED_DIGESTS);
  readonly #tails = new RelayTails();

  constructor(parts: InflightParts) {
    this.#parts = parts;
  }

  /**
   * This host's containerd asks for the digest from byte `start` on. True when peers may get it
   * while it is downloaded. False when this daemon did not see its beginning: after a power cut,
   * containerd goes on behind bytes that may be zeros, and every follower's pull would be spoilt.
   */
  noteAsked(digest: Digest, start: number): boolean {
    if (start > 0 && this.#asked.get(digest) === undefined) return false;
    this.#asked.set(digest, performance.now(), ASKED_DIGEST_MS);
    this.#parts.content.expect(digest);
    return true;
  }

  /**
   * The body for this host's containerd, unchanged. Peers that read the same digest here get its
   * bytes before they are on the disk.
   */
  tapRelay(body: Body, digest: Digest, start: number): Body {
    return this.#tails.tap(body, digest, start);
  }

  /**
   * Answers a peer. False, with nothing written: the peer may not get it, or it is not in flight.
   */
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
      call.log.debug('in-flight content cannot be read', { digest, error });
      return false;
    }
  }

  /**
   * Waits a moment for containerd to begin: a tracker may send a peer here before that. What was
   * asked for long ago does not begin: its blob was lost, and the peer waited in vain. A HEAD asks
   * whether content is still in flight, and without an answer at once this host counts as dead.
   */
  async #find(
    digest: Digest,
    isHead: boolean,
    signal: AbortSignal,
  ): Promise<InflightSource | undefined> {
    const { content } = this.#parts;
    const source = await content.inflightSource(digest, signal);
    const isJustAsked = performance.now() - (this.#asked.get(digest) ?? 0) < BEGINS_WITHIN_MS;
    return isHead || source !== undefined || !isJustAsked
      ? source
      : content.awaitInflightSource(digest, INGEST_BEGIN_MS, signal);
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
      // Without this header, silence means to the peer that this host is dead.
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
    // The first byte may take long; the head tells the peer now that it is worth waiting for.
    call.response.flushHeaders();
    const hangMs = this.#parts.standStillMs + READ_TIMEOUT_MS;
    const body = new FileBody(reader, range, this.#buffers, call.signal, hangMs);
    const { written, result } = await sendBody(call, body, range.end - range.start);
    const done = result === 'complete' ? result : 'aborted';
    this.#parts.instruments.inflightServedBytes.inc({ result: done }, written);
  }
}
