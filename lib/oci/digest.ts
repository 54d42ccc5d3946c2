import { createHash } from 'node:crypto';

/** A digest of OCI image-spec, descriptor.md#digests: `sha256:` and 64 lower-case hex digits. */
export type Digest = `sha256:${string}`;

const SHA256 = /^sha256:[0-9a-f]{64}$/;

/** True for a well-formed sha256 digest. containerd's content store has no other algorithm. */
export function isDigest(text: string): text is Digest {
  return SHA256.test(text);
}

/** The hex part, which is the name of the blob's file below `blobs/sha256/`. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

export function digestOf(content: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}
