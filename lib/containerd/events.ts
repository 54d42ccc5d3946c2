import { type Digest, isDigest } from '../oci/digest.ts';
import type { ContainerdClient } from './client.ts';
import { type ContentCreate, decode, type Envelope, type Name } from './messages.ts';
import { STREAMS } from './methods.ts';

/** An event of containerd that concerns this project. */
export type ContainerdEvent =
  | {
      readonly type: 'content-created';
      readonly namespace: string;
      readonly digest: Digest;
      /** In bytes. */
      readonly size: number;
    }
  /** An image record was created or updated. */
  | { readonly type: 'image-changed'; readonly namespace: string; readonly name: string }
  /**
   * An image or content was deleted. Garbage collection removes what belonged to it later, without
   * an event.
   */
  | { readonly type: 'deleted'; readonly namespace: string };

const TOPICS = [
  '/content/create',
  '/content/delete',
  '/images/create',
  '/images/update',
  '/images/delete',
];

/**
 * Yields the events of all namespaces from now on. May miss events of the first moment, because
 * containerd does not confirm a subscription. Ends when containerd ends the stream. Throws when the
 * connection breaks.
 */
export async function* subscribe(
  client: ContainerdClient,
  signal: AbortSignal,
): AsyncGenerator<ContainerdEvent, void, undefined> {
  const filters = TOPICS.map((topic) => `topic=="${topic}"`);
  for await (const envelope of client.stream(STREAMS.events, { filters }, { signal })) {
    const event = eventOf(envelope);
    if (event !== undefined) yield event;
  }
}

/**
 * Decodes an event by its topic, not by the URL of its type. The package of the messages was
 * renamed between versions, but their fields stayed. In all of these messages field 1 is the digest
 * or the name.
 */
function eventOf({ namespace, topic, event }: Envelope): ContainerdEvent | undefined {
  if (topic === '/content/delete' || topic === '/images/delete') {
    return { type: 'deleted', namespace };
  }
  if (event === null || !TOPICS.includes(topic)) return undefined;
  if (topic !== '/content/create') {
    const { name } = decode<Name>('Name', event.value);
    return { type: 'image-changed', namespace, name };
  }
  const { digest, size } = decode<ContentCreate>('ContentCreate', event.value);
  return isDigest(digest) ? { type: 'content-created', namespace, digest, size } : undefined;
}
