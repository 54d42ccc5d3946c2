import type { RunningPull } from '../oci/running-pull.ts';
import type { ContainerdApi } from './api.ts';
import { PULLS_DEADLINE_MS } from './constants.ts';
import type { Lease } from './messages.ts';

export interface PullListeners {
  /** An image record of this name was created or updated, in any namespace. */
  readonly onImage: (name: string) => void;
  /** Image events may have been missed. */
  readonly onGap: () => void;
}

/**
 * Watches the pulls of containerd. Each kind of pull takes a lease before it asks for a tag and
 * releases it at its end, after a success or a failure (seen with `ctr` and CRI, 1.6 to 2.4). A
 * success also causes an image event.
 */
export class ContainerdPulls {
  readonly #api: ContainerdApi;
  #listeners: PullListeners | undefined;
  #isFollowing = false;

  constructor(api: ContainerdApi) {
    this.#api = api;
  }

  /** Sets the listeners. They replace the ones before. */
  listen(listeners: PullListeners): void {
    this.#listeners = listeners;
  }

  /** From now on all image events arrive. */
  startFollowing(): void {
    this.#isFollowing = true;
  }

  /** The session has ended. Image events are missed until the next one. */
  stopFollowing(): void {
    if (this.#isFollowing) this.#listeners?.onGap();
    this.#isFollowing = false;
  }

  imageChanged(name: string): void {
    this.#listeners?.onImage(name);
  }

  /**
   * The pulls that run now, in all namespaces. Undefined while no session follows the events. Never
   * rejects.
   */
  async runningPulls(): Promise<readonly RunningPull[] | undefined> {
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

  /**
   * When the image record of that name last changed, in milliseconds since 1970. Undefined if there
   * is none, or containerd does not answer. Never rejects.
   */
  async imageChangedAt(namespace: string, name: string): Promise<number | undefined> {
    try {
      const image = await this.#api.image(namespace, name, AbortSignal.timeout(PULLS_DEADLINE_MS));
      return image?.updatedAt ? millisecondsOf(image.updatedAt) : undefined;
    } catch {
      return undefined;
    }
  }
}

/**
 * Undefined if the lease is not that of a pull. A CRI sandbox has a lease with its own id and
 * without an end.
 */
function pullOf({ id, createdAt, labels }: Lease, namespace: string): RunningPull | undefined {
  if (!PULL_ID.test(id) || labels[EXPIRES] === undefined || createdAt === null) return undefined;
  return { id: `${namespace}/${id}`, namespace, startedAt: millisecondsOf(createdAt) };
}

function millisecondsOf({ seconds, nanos }: { seconds: number; nanos: number }): number {
  return seconds * 1_000 + Math.floor(nanos / 1_000_000);
}

/** The form of `leases.WithRandomID`: nanoseconds and four characters of base64. */
const PULL_ID = /^\d{1,9}-[\w-]{4}$/;
const EXPIRES = 'containerd.io/gc.expire';
