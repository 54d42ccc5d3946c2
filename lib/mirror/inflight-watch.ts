import { AVAILABLE_HEADER, INFLIGHT_HEADER, SPOILT_STATUS } from '../base/spegel-headers.ts';
import type { FailureKind } from '../http/peer-failure.ts';
import { RawExchange, type Watch } from '../http/raw-exchange.ts';
import type { ResponseHead } from '../http/response-head.ts';
import { type PeerRequestParts, peerHeaders } from './ask.ts';
import type { PeerEndpoint } from './peer-health.ts';

/** A peer on the same network answers in a few ms; with the silence before, one that is dead is noticed in 1.2 s. */
const ASK_MS = 400;

/** Whether the peer that answered so is still getting the content itself. */
export function isInflightAnswer(head: ResponseHead): boolean {
  return head.headers.has(AVAILABLE_HEADER.toLowerCase());
}

/** How long somebody who is alive may have nothing to send. */
export interface SilenceBounds {
  readonly stallMs: number;
  /** After `stallMs`: whether it is worth waiting a little more, after so many milliseconds of silence in all. */
  readonly isStarved: (silentMs: number) => boolean;
}

/** How often it is looked whether waiting is still worth it. */
export const STARVED_RECHECK_MS = 250;

/**
 * Judges a peer that sends content which it is still getting itself, when nothing comes: it may be dead, or wait
 * like ourselves, which it answers when asked. After `stallMs` it is left all the same, unless it is only starved. That
 * it has no more is no fault of its own.
 */
export function watchInflight(
  endpoint: PeerEndpoint,
  path: string,
  { asker, stallMs, isStarved }: SilenceBounds & { readonly asker: PeerRequestParts },
  signal: AbortSignal,
): Watch {
  return {
    async onSilence(head, silentMs) {
      if (!isInflightAnswer(head)) return 'silent';
      if (silentMs >= stallMs && !isStarved(silentMs)) return 'stalled';
      const laterMs = silentMs < stallMs ? stallMs : silentMs + STARVED_RECHECK_MS;
      return (await failureOf(endpoint, path, asker, signal)) ?? laterMs;
    },
    failureOf: (head, kind) => (isInflightAnswer(head) ? 'stalled' : kind),
  };
}

/** Undefined when it says that it still gets the content. */
async function failureOf(
  endpoint: PeerEndpoint,
  path: string,
  asker: PeerRequestParts,
  signal: AbortSignal,
): Promise<FailureKind | undefined> {
  const status = await statusOf(endpoint, path, asker, signal);
  if (status === undefined) return 'silent';
  return status === 200 ? undefined : 'stalled';
}

/** Whether a peer says that the bytes it was still getting, and has sent, are wrong. Never rejects. */
export async function saysSpoilt(
  endpoint: PeerEndpoint,
  path: string,
  asker: PeerRequestParts,
  signal: AbortSignal,
): Promise<boolean> {
  return (await statusOf(endpoint, path, asker, signal)) === SPOILT_STATUS;
}

/** What it says of content on its way; undefined when it says nothing in time. */
async function statusOf(
  { address }: PeerEndpoint,
  path: string,
  { buffers, networkKeys }: PeerRequestParts,
  signal: AbortSignal,
): Promise<number | undefined> {
  const method = 'HEAD';
  const asPeer = peerHeaders(networkKeys, { method, path });
  const headers = { ...asPeer.headers, [INFLIGHT_HEADER]: 'true' };
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]);
  try {
    const request = { address, method, path, headers } as const;
    const { head, exchange } = await RawExchange.open(request, buffers, inTime);
    exchange.close();
    return head.status;
  } catch {
    return undefined;
  }
}
