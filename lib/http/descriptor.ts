import type { Server, Socket } from 'node:net';

/**
 * The descriptor of an open socket or listener; undefined where it is closed. Read from a private
 * field, since Node has no public way to it; test/http/zero-copy.test.ts holds the field. Never to
 * be kept: when the socket closes, its number belongs to another file.
 */
export function descriptorOf(one: Server | Socket): number | undefined {
  const { _handle: handle } = one as { _handle?: { fd?: unknown } | null };
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}
