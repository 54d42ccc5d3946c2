import type { Instruments } from '../base/instruments.ts';
import type { Body } from '../http/body.ts';
import { Multipart } from '../http/multipart.ts';
import { type ByteRange, type RangeSpec, resolveRanges } from '../http/ranges.ts';
import type { FoundBlob } from '../mirror/fetch-blob.ts';
import { type BlobRequest, isMiss, type Mirror, Miss } from '../mirror/mirror.ts';
import { OCTET_STREAM } from '../oci/media-types.ts';
import {
  type Call,
  sendBody,
  sendMiss,
  sendUnsatisfiable,
  writeBlobHead,
  writeMultipartHead,
} from './call.ts';
import { MAX_RANGE_GAP_BYTES } from './constants.ts';
import type { MissedManifests } from './manifests.ts';
import { groupRanges, type RangeRun, RangeRunReader } from './range-run.ts';

export interface RelayRangesParts {
  readonly mirror: Mirror;
  readonly missed: MissedManifests;
  readonly instruments: Instruments;
}

/**
 * Answers a request for several ranges of a blob that is not here. Peers are asked for one range at
 * a time, each when its turn comes. containerd never pulls so: the request takes no part in
 * in-flight sharing.
 */
export async function relayRanges(
  parts: RelayRangesParts,
  call: Call,
  request: BlobRequest,
  specs: readonly RangeSpec[],
): Promise<void> {
  const { digest } = request.target;
  const size = await sizeOf(parts, call, request);
  if (isMiss(size)) {
    sendMiss(call, 'BLOB_UNKNOWN', digest, size);
    return;
  }
  const ranges = resolveRanges(specs, size);
  if (ranges.length === 0) {
    sendUnsatisfiable(call, size);
    return;
  }
  const source = new RangeSource(parts, call, request, { size, ranges });
  try {
    const missed = await source.begin();
    if (missed !== undefined) sendMiss(call, 'BLOB_UNKNOWN', digest, missed);
    else await sendRanges(parts, call, request, { size, ranges, source });
  } finally {
    source.close();
  }
}

/** The size of the blob, which says where each range begins and ends. */
async function sizeOf(
  { mirror, missed }: RelayRangesParts,
  call: Call,
  request: BlobRequest,
): Promise<number | Miss> {
  const { digest } = request.target;
  if (call.role === 'host') await missed.learnSizeOf(digest, call.signal);
  return mirror.knownSize(digest) ?? mirror.blobSize(request, call.signal);
}

async function sendRanges(
  { instruments }: RelayRangesParts,
  call: Call,
  { registry, target: { digest } }: BlobRequest,
  found: {
    readonly size: number;
    readonly ranges: readonly ByteRange[];
    readonly source: RangeSource;
  },
): Promise<void> {
  const { size, ranges, source } = found;
  const [range = { start: 0, end: 0 }] = ranges;
  const head = { registry, digest, size, range, isPartial: true, mediaType: OCTET_STREAM };
  const first = await source.open(range);
  const multipart = ranges.length > 1 ? new Multipart(ranges, size, OCTET_STREAM) : undefined;
  if (multipart !== undefined) writeMultipartHead(call, head, multipart);
  else writeBlobHead(call, head);
  const body = multipart?.body(first, (part) => source.open(part)) ?? first;
  const length = multipart?.length ?? range.end - range.start;
  const { written, result } = await sendBody(call, body, length);
  const peers = [...source.peers];
  const fields = { digest, peers, size, ranges: ranges.length, written, result };
  call.log.info('blob from the fleet', fields);
  instruments.relayedBytes.inc({ result }, written);
}

/** Gets the ranges of one blob from the fleet. The caller closes it. */
class RangeSource {
  readonly #parts: RelayRangesParts;
  readonly #call: Call;
  readonly #request: BlobRequest;
  readonly #size: number;
  readonly #runs: readonly RangeRun[];
  /** The run that is being read. */
  #current:
    | { readonly run: RangeRun; readonly body: Body; readonly reader: RangeRunReader }
    | undefined;
  /** The peers that sent the first byte of a run, for the log. */
  readonly peers = new Set<string>();

  constructor(
    parts: RelayRangesParts,
    call: Call,
    request: BlobRequest,
    { size, ranges }: { readonly size: number; readonly ranges: readonly ByteRange[] },
  ) {
    this.#parts = parts;
    this.#call = call;
    this.#request = request;
    this.#size = size;
    this.#runs = groupRanges(ranges, MAX_RANGE_GAP_BYTES);
  }

  /** Waits for the first byte of the first range; returns the miss when no peer has it. */
  async begin(): Promise<Miss | undefined> {
    const [run] = this.#runs;
    return run && this.#begin(run);
  }

  /**
   * One of the ranges, each in its turn. Rejects when no peer has it: the head is written by then,
   * so only the end of the connection can tell of a miss.
   */
  async open(range: ByteRange): Promise<Body> {
    const run = this.#runs.find(({ ranges }) => ranges.includes(range));
    if (run === undefined) throw new RangeError('not one of the ranges');
    const miss = run === this.#current?.run ? undefined : await this.#begin(run);
    if (miss !== undefined) throw new Error(miss.reason);
    const current = this.#current;
    if (current === undefined) throw new Error('the source was closed');
    return current.reader.part(range);
  }

  close(): void {
    this.#current?.body.close();
    this.#current = undefined;
  }

  async #begin(run: RangeRun): Promise<Miss | undefined> {
    this.close();
    const found = await this.#find(run.whole);
    if (isMiss(found)) return found;
    const { body, peerId } = found;
    this.peers.add(peerId);
    this.#current = { run, body, reader: new RangeRunReader(body, run) };
    return undefined;
  }

  async #find({ start, end }: ByteRange): Promise<FoundBlob | Miss> {
    const spec = { kind: 'closed', start, last: end - 1 } as const;
    const found = await this.#parts.mirror.blob(
      this.#request,
      spec,
      NOT_FOR_CONTAINERD,
      this.#call.signal,
    );
    if (isMiss(found) || found.size === this.#size) return found;
    found.body.close();
    return new Miss('peers disagree about the size of this blob', []);
  }
}

/** A client that asks for several ranges keeps them outside of containerd's content store. */
const NOT_FOR_CONTAINERD = { isShared: false, isForHost: false };
