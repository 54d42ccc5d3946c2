import { type Digest, isDigest } from '../oci/digest.ts';
import { type ContainerdClient, isAlreadyThere, isNotFound, isUnimplemented } from './client.ts';
import { CALL_DEADLINE_MS, LIST_DEADLINE_MS } from './constants.ts';
import type { Image, Info, Lease, Server } from './messages.ts';
import { DUPLEX, STREAMS, UNARY } from './methods.ts';

/** Action of Content.Write that opens an ingest and answers how many bytes it has. */
const STAT = 0 as const;

/**
 * A total size that no real ingest has. containerd begins an ingest of another size anew. Otherwise
 * it hashes all bytes of the ingest first and lets no other call write meanwhile: 15 s for 1 GiB.
 */
const OTHER_TOTAL = 1;

/** A blob in the content store of one namespace. */
export interface Content extends Pick<Info, 'size' | 'labels'> {
  readonly digest: Digest;
}

/**
 * The calls of containerd's API that this project makes, each with its deadline. All reject when
 * containerd does not answer.
 */
export class ContainerdApi {
  readonly client: ContainerdClient;

  constructor(client: ContainerdClient) {
    this.client = client;
  }

  /**
   * The version of containerd, such as `1.7.24`. Also the cheapest call to see whether it answers.
   */
  async version(signal: AbortSignal): Promise<string> {
    const options = { deadlineMs: CALL_DEADLINE_MS, signal };
    return (await this.client.unary(UNARY.version, {}, options)).version;
  }

  async namespaces(signal: AbortSignal): Promise<string[]> {
    const options = { deadlineMs: CALL_DEADLINE_MS, signal };
    const { namespaces } = await this.client.unary(UNARY.namespaces, {}, options);
    return namespaces.map(({ name }) => name);
  }

  /** The image records of a namespace; none if it does not exist. */
  async images(namespace: string, signal: AbortSignal): Promise<readonly Image[]> {
    const options = { namespace, deadlineMs: LIST_DEADLINE_MS, signal };
    return (await this.client.unary(UNARY.images, { filters: [] }, options)).images;
  }

  async image(namespace: string, name: string, signal: AbortSignal): Promise<Image | undefined> {
    const options = { namespace, deadlineMs: CALL_DEADLINE_MS, signal };
    const answer = await unless(isNotFound, this.client.unary(UNARY.image, { name }, options));
    return answer?.image ?? undefined;
  }

  async leases(namespace: string, signal: AbortSignal): Promise<readonly Lease[]> {
    const options = { namespace, deadlineMs: CALL_DEADLINE_MS, signal };
    return (await this.client.unary(UNARY.leases, { filters: [] }, options)).leases;
  }

  /** All blobs of a namespace with a sha256 digest. */
  async content(namespace: string, signal: AbortSignal): Promise<Map<Digest, Content>> {
    const options = { namespace, deadlineMs: LIST_DEADLINE_MS, signal };
    const all = new Map<Digest, Content>();
    for await (const { info } of this.client.stream(STREAMS.content, { filters: [] }, options)) {
      for (const { digest, size, labels } of info) {
        if (isDigest(digest)) all.set(digest, { digest, size, labels });
      }
    }
    return all;
  }

  async info(
    namespace: string,
    digest: Digest,
    signal: AbortSignal,
    deadlineMs = CALL_DEADLINE_MS,
  ): Promise<Content | undefined> {
    const options = { namespace, deadlineMs, signal };
    const answer = await unless(isNotFound, this.client.unary(UNARY.info, { digest }, options));
    if (answer === undefined || answer.info === null) return undefined;
    return { digest, size: answer.info.size, labels: answer.info.labels };
  }

  /** The refs of all ingests of a namespace. */
  async ingests(namespace: string, signal: AbortSignal): Promise<string[]> {
    const options = { namespace, deadlineMs: CALL_DEADLINE_MS, signal };
    const { statuses } = await this.client.unary(UNARY.statuses, { filters: [] }, options);
    return statuses.map(({ ref }) => ref);
  }

  /** Discards an ingest. Resolves if it is gone already. */
  async abort(namespace: string, ref: string, signal: AbortSignal): Promise<void> {
    const options = { namespace, deadlineMs: CALL_DEADLINE_MS, signal };
    await unless(isNotFound, this.client.unary(UNARY.abort, { ref }, options));
  }

  /**
   * Discards an ingest that has no writer. This call is the writer meanwhile. Resolves if the
   * ingest is gone or has become a blob. Rejects with UNAVAILABLE if it has another writer.
   */
  async abortIdle(
    namespace: string,
    { ref, digest }: { readonly ref: string; readonly digest: Digest },
    signal: AbortSignal,
  ): Promise<void> {
    const options = { namespace, deadlineMs: CALL_DEADLINE_MS, signal };
    const request = { action: STAT, ref, expected: digest, total: OTHER_TOTAL };
    const call = this.client.whileOpen(DUPLEX.write, request, options, () =>
      this.abort(namespace, ref, signal),
    );
    await unless(isAlreadyThere, call);
  }

  /** The root of the content store, or undefined if containerd does not tell (before 1.6.20). */
  async contentRoot(signal: AbortSignal): Promise<string | undefined> {
    const options = { deadlineMs: CALL_DEADLINE_MS, signal };
    const filters = ['type==io.containerd.content.v1'];
    const { plugins } = await this.client.unary(UNARY.plugins, { filters }, options);
    return plugins.find(({ exports }) => exports.root)?.exports.root;
  }

  /** The process of containerd. Its pid is 0 if containerd does not tell (1.6). */
  process(signal: AbortSignal): Promise<Server> {
    return this.client.unary(UNARY.server, {}, { deadlineMs: CALL_DEADLINE_MS, signal });
  }

  /** The pid of containerd in its own pid namespace, or undefined if it does not tell (1.6). */
  async pid(signal: AbortSignal): Promise<number | undefined> {
    const { pid } = await this.process(signal);
    return pid === 0 ? undefined : pid;
  }

  /**
   * The running configuration of the CRI plugin as JSON, or undefined if there is no such plugin.
   */
  async criConfig(signal: AbortSignal): Promise<string | undefined> {
    const options = { deadlineMs: CALL_DEADLINE_MS, signal };
    const call = this.client.unary(UNARY.criStatus, { verbose: true }, options);
    return (await unless(isUnimplemented, call))?.info.config;
  }
}

/** Undefined instead of a rejection with an error for which `isNone` is true. */
async function unless<T>(
  isNone: (error: unknown) => boolean,
  answer: Promise<T>,
): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isNone(error)) return undefined;
    throw error;
  }
}
