/** Bytes that look like a real layer: a valid tar, incompressible, the same for the same seed. */
import { createCipheriv, createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

export interface Blob {
  readonly digest: string;
  readonly size: number;
}

export interface LayerBlob extends Blob {
  /** Digest of the uncompressed tar, as the image's config lists it. */
  readonly diffId: string;
  readonly mediaType: string;
}

const TAR_BLOCK = 512;
const CHUNK = 1024 * 1024;

const digestOf = (hash: { digest(encoding: 'hex'): string }) => `sha256:${hash.digest('hex')}`;

/** AES-CTR of zeros: a gigabyte in a second or two, and nothing can compress it. */
export function* seededBytes(seed: string, length: number): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest();
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16));
  const zeros = Buffer.alloc(CHUNK);
  for (let left = length; left > 0; left -= CHUNK) {
    yield cipher.update(left < CHUNK ? zeros.subarray(0, left) : zeros);
  }
}

function tarHeader(name: string, size: number): Buffer {
  const block = Buffer.alloc(TAR_BLOCK);
  const field = (offset: number, text: string) => block.write(text, offset, 'latin1');
  const octal = (value: number, width: number) => value.toString(8).padStart(width - 1, '0');
  field(0, name);
  field(100, octal(0o644, 8));
  field(108, octal(0, 8));
  field(116, octal(0, 8));
  field(124, octal(size, 12));
  field(136, octal(0, 12)); // no time: the bytes depend on the seed alone
  field(148, ' '.repeat(8)); // counts as blanks in its own sum
  field(156, '0');
  field(257, 'ustar\u000000');
  field(
    148,
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      7,
    )}\0 `,
  );
  return block;
}

function* tarOfOneFile(name: string, seed: string, size: number): Generator<Buffer> {
  yield tarHeader(name, size);
  yield* seededBytes(seed, size);
  yield Buffer.alloc(((TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK) + 2 * TAR_BLOCK);
}

export async function writeBlob(layoutDir: string, content: string | Buffer): Promise<Blob> {
  const bytes = Buffer.from(content);
  const hex = createHash('sha256').update(bytes).digest('hex');
  await writeFile(join(layoutDir, 'blobs/sha256', hex), bytes);
  return { digest: `sha256:${hex}`, size: bytes.length };
}

/** A layer with one file of `size` bytes. gzip stores (level 0): valid, and as fast as copying. */
export async function writeLayer(
  layoutDir: string,
  layer: { readonly seed: string; readonly size: number; readonly gzip: boolean },
): Promise<LayerBlob> {
  const blobs = join(layoutDir, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const [plain, packed] = [createHash('sha256'), createHash('sha256')];
  let size = 0;
  const temporary = join(blobs, `.new-${createHash('sha256').update(layer.seed).digest('hex')}`);
  await pipeline(
    Readable.from(tarOfOneFile(`data-${layer.seed}`, layer.seed, layer.size)),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        plain.update(chunk);
        yield chunk;
      }
    },
    layer.gzip ? createGzip({ level: 0, chunkSize: CHUNK }) : new PassThrough(),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        packed.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(temporary),
  );
  const digest = digestOf(packed);
  await rename(temporary, join(blobs, digest.slice('sha256:'.length)));
  const mediaType = `application/vnd.oci.image.layer.v1.tar${layer.gzip ? '+gzip' : ''}`;
  return { digest, size, diffId: digestOf(plain), mediaType };
}
