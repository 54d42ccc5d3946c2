import type { Body } from '../http/body.ts';
import { Multipart } from '../http/multipart.ts';
import { type ByteRange, type RangeSpec, resolveRanges } from '../http/ranges.ts';
import type { FoundBlob } from '../mirror/fetch-blob.ts';
import { type BlobRequest, isMiss, Miss } from '../mirror/mirror.ts';
import { OCTET_STREAM } from '../oci/media-types.ts';
import { send, sendUnsatisfiable, writeHead, writeMultipartHead } from './blob-answer.ts';
import type { BlobParts } from './blobs.ts';
import { type Call, sendMiss } from './call.ts';

/**
 * Answers a request for several ranges of a blob that is not here. Peers are asked for one range at a time, each
 * when it is its turn. No pull of containerd asks so: it does not lead, and peers are not told that it comes here.
 */
export async function relayRanges(
  parts: BlobParts,
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
  const [range] = ranges;
  if (range === undefined) {
    sendUnsatisfiable(call, size);
    return;
  }
  const source = new RangeSource(parts, call, request, size);
  const first = await source.find(range);
  if (isMiss(first)) sendMiss(call, 'BLOB_UNKNOWN', digest, first);
  else await sendParts(parts, call, request, { size, ranges, range, first, source });
}

/** The size comes before the first part, since it says where each of them begins and ends. */
async function sizeOf(
  { mirror, missed }: BlobParts,
  call: Call,
  request: BlobRequest,
): Promise<number | Miss> {
  const { digest } = request.target;
  await missed.learnSizeOf(digest, call.signal);
  return mirror.knownSize(digest) ?? mirror.blobSize(request, call.signal);
}

/** Finds the ranges of one blob in the fleet, each by a question of its own. */
class RangeSource {
  readonly #parts: BlobParts;
  readonly #call: Call;
  readonly #request: BlobRequest;
  readonly #size: number;
  /** Everybody that sent the first byte of a part, for the log. */
  readonly peers = new Set<string>();

  constructor(parts: BlobParts, call: Call, request: BlobRequest, size: number) {
    this.#parts = parts;
    this.#call = call;
    this.#request = request;
    this.#size = size;
  }

  async find({ start, end }: ByteRange): Promise<FoundBlob | Miss> {
    const spec = { kind: 'closed', start, last: end - 1 } as const;
    const found = await this.#parts.mirror.blob(this.#request, spec, false, this.#call.signal);
    if (isMiss(found)) return found;
    if (found.size === this.#size) {
      this.peers.add(found.peerId);
      return found;
    }
    found.body.close();
    return new Miss('peers disagree about the size of this blob', []);
  }

  /** For a part after the first: the head is written, so nothing but an end of the connection tells of a miss. */
  async open(range: ByteRange): Promise<Body> {
    const found = await this.find(range);
    if (isMiss(found)) throw new Error(found.reason);
    return found.body;
  }
}

async function sendParts(
  { instruments }: BlobParts,
  call: Call,
  { registry, target: { digest } }: BlobRequest,
  found: {
    readonly size: number;
    readonly ranges: readonly ByteRange[];
    /** The first of them. */
    readonly range: ByteRange;
    readonly first: FoundBlob;
    readonly source: RangeSource;
  },
): Promise<void> {
  const { size, ranges, range, first, source } = found;
  const head = { registry, digest, size, range, isPartial: true, mediaType: OCTET_STREAM };
  const multipart = ranges.length > 1 ? new Multipart(ranges, size, OCTET_STREAM) : undefined;
  if (multipart !== undefined) writeMultipartHead(call, head, multipart);
  else writeHead(call, head);
  const body = multipart?.body(first.body, (part) => source.open(part)) ?? first.body;
  const length = multipart?.length ?? range.end - range.start;
  const { written, result } = await send(call, body, length);
  const peers = [...source.peers];
  const fields = { digest, peers, size, ranges: ranges.length, written, result };
  call.log.info('blob from the fleet', fields);
  instruments.relayedBytes.inc({ result }, written);
}
