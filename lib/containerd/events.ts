import { type Digest, isDigest } from '../oci/digest.ts';
import type { ContainerdClient } from './client.ts';
import { decode, type Envelope, type Name } from './messages.ts';
import { STREAMS } from './methods.ts';

/** What happened in containerd, as far as a mirror cares. */
export type ContainerdEvent =
  | { readonly type: 'content-created'; readonly namespace: string; readonly digest: Digest }
  /** Created or updated. */
  | { readonly type: 'image-changed'; readonly namespace: string; readonly name: string }
  /** An image or content was deleted; garbage collection of what hung on it comes later, without an event. */
  | { readonly type: 'deleted'; readonly namespace: string };

const TOPICS = [
  '/content/create',
  '/content/delete',
  '/images/create',
  '/images/update',
  '/images/delete',
];

/**
 * Events of all namespaces from now on. containerd sends nothing when a subscription has begun, so what
 * happens in the same moment may be missed. Ends when containerd ends it, throws when the connection breaks.
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
 * Reads an envelope by its topic and not by the type's URL: the messages' package was renamed between versions,
 * their fields were not. All of these messages have the digest or the name as field 1.
 */
function eventOf({ namespace, topic, event }: Envelope): ContainerdEvent | undefined {
  if (topic === '/content/delete' || topic === '/images/delete') {
    return { type: 'deleted', namespace };
  }
  if (event === null || !TOPICS.includes(topic)) return undefined;
  const { name } = decode<Name>('Name', event.value);
  if (topic !== '/content/create') return { type: 'image-changed', namespace, name };
  return isDigest(name) ? { type: 'content-created', namespace, digest: name } : undefined;
}
