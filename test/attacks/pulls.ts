/** The pulls of one host during an attack, and what came of them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { digestsOf } from '../../lab/fleet/fleet.ts';
import type { LabHost } from '../../lab/fleet/lab.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { namespaceOf, pullBy, WAYS, type Way } from '../support/tag-pulls.ts';
import type { Image } from './attack-lab.ts';

/** CRI waits for so long without progress; nothing here may come near it. */
const PULL_MS = 60_000;
/** An image that does not come at the second try: it is tried so often. */
const MAX_TRIES = 4;

export interface FailedPull {
  readonly host: string;
  readonly reference: string;
  readonly way: Way;
  readonly namespace: string;
  /** 1 for the first pull of this image in this namespace. */
  readonly attempt: number;
  /** Milliseconds from the start of the attack. */
  readonly beganMs: number;
  readonly endedMs: number;
  readonly error: string;
}

export class Pulls {
  readonly host: LabHost;
  readonly failed: FailedPull[] = [];
  /** Pulls that were tried. */
  count = 0;
  longestMs = 0;
  readonly #startedAt = performance.now();

  constructor(host: LabHost) {
    this.host = host;
  }

  /**
   * Has this host pull an image until it has it, and looks at every byte that it has then. By
   * default by each way of containerd in turn.
   */
  async pull(
    image: Image,
    way: Way = WAYS[this.count % WAYS.length] ?? 'ctr',
    namespace = namespaceOf(way),
  ): Promise<void> {
    for (let attempt = 1; attempt <= MAX_TRIES; attempt += 1) {
      const began = performance.now();
      const error = await this.#attempt(image.reference, way, namespace);
      const ended = performance.now();
      this.longestMs = Math.max(this.longestMs, ended - began);
      if (error === undefined) {
        await assertBytes(this.host, image);
        return;
      }
      this.failed.push({
        host: `${this.host.name} (${this.host.containerd.version})`,
        reference: image.reference,
        way,
        namespace,
        attempt,
        beganMs: Math.round(began - this.#startedAt),
        endedMs: Math.round(ended - this.#startedAt),
        error: error.slice(-ERROR_LENGTH),
      });
    }
  }

  /** What went wrong. */
  async #attempt(reference: string, way: Way, namespace: string): Promise<string | undefined> {
    this.count += 1;
    const options = { namespace, timeoutMs: PULL_MS };
    return pullBy(this.host, way, reference, options).then(() => undefined, messageOf);
  }
}

/** The end of what containerd says: the digest, and why. */
const ERROR_LENGTH = 300;

/** Fails unless this host holds the whole image, with the right bytes. */
async function assertBytes({ name, containerd }: LabHost, image: Image): Promise<void> {
  for (const digest of digestsOf(image.layout)) {
    const bytes = await readFile(containerd.blobPath(digest));
    const hash = createHash('sha256').update(bytes).digest('hex');
    assert.equal(`sha256:${hash}`, digest, `${name}: other bytes of ${image.reference}`);
  }
}
