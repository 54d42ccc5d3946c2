import type { ContainerdApi } from './api.ts';
import { PULLS_DEADLINE_MS } from './constants.ts';
import type { Lease } from './messages.ts';

/** A pull that containerd is doing, by the lease that it holds meanwhile. */
export interface LeasedPull {
  readonly id: string;
  readonly namespace: string;
  /** Wall clock, in milliseconds since 1970. */
  readonly startedAt: number;
}

export interface PullListeners {
  /** An image record of this name was created or updated, in any namespace. */
  readonly onImage: (name: string) => void;
  /** The event stream had a gap: what happened in it nobody knows. */
  readonly onGap: () => void;
}

/**
 * The pulls of a containerd, watched. Every way to pull takes a lease before it asks for a tag and
 * gives it back when it has ended, well or not (seen: 1.6 to 2.4, `ctr` and CRI); a success leaves
 * an image event (facts/containerd.md).
 */
export class ContainerdPulls {
  readonly #api: ContainerdApi;
  #listeners: PullListeners | undefined;
  #isFollowing = false;

  constructor(api: ContainerdApi) {
    this.#api = api;
  }

  /** One listener; the last one counts. */
  listen(listeners: PullListeners): void {
    this.#listeners = listeners;
  }

  /** From now on every image event arrives. */
  startFollowing(): void {
    this.#isFollowing = true;
  }

  /** containerd is gone, or its events are. */
  stopFollowing(): void {
    if (this.#isFollowing) this.#listeners?.onGap();
    this.#isFollowing = false;
  }

  imageChanged(name: string): void {
    this.#listeners?.onImage(name);
  }

  /**
   * Those that run now, in all namespaces; undefined while events are not followed. Never rejects.
   */
  async runningPulls(): Promise<readonly LeasedPull[] | undefined> {
    if (!this.#isFollowing) return undefined;
    const signal = AbortSignal.timeout(PULLS_DEADLINE_MS);
    try {
      const namespaces = await this.#api.namespaces(signal);
      const lists = await Promise.all(
        namespaces.map(async (namespace) => {
          const leases = await this.#api.leases(namespace, signal);
          return leases.flatMap((lease) => pullOf(lease, namespace) ?? []);
        }),
      );
      return this.#isFollowing ? lists.flat() : undefined;
    } catch {
      return undefined;
    }
  }

  /** When the image record of that name last changed, in milliseconds since 1970. Never rejects. */
  async imageChangedAt(namespace: string, name: string): Promise<number | undefined> {
    try {
      const image = await this.#api.image(namespace, name, AbortSignal.timeout(PULLS_DEADLINE_MS));
      return image?.updatedAt ? millisecondsOf(image.updatedAt) : undefined;
    } catch {
      return undefined;
    }
  }
}

/** Undefined for a lease that keeps something else: a sandbox of CRI has its own id and no end. */
function pullOf({ id, createdAt, labels }: Lease, namespace: string): LeasedPull | undefined {
  if (!PULL_ID.test(id) || labels[EXPIRES] === undefined || createdAt === null) return undefined;
  return { id: `${namespace}/${id}`, namespace, startedAt: millisecondsOf(createdAt) };
}

function millisecondsOf({ seconds, nanos }: { seconds: number; nanos: number }): number {
  return seconds * 1_000 + Math.floor(nanos / 1_000_000);
}

/** Of containerd's `leases.WithRandomID`: nanoseconds, and four characters of base64. */
const PULL_ID = /^\d{1,9}-[\w-]{4}$/;
const EXPIRES = 'containerd.io/gc.expire';
