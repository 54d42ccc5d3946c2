import { withinFairly } from '../base/fair-timeout.ts';
import { INFLIGHT_HEADER, SPOILT_STATUS } from '../base/spegel-headers.ts';
import type { FailureKind } from '../http/peer-failure.ts';
import type { Watch } from '../http/peer-silence.ts';
import { RawExchange } from '../http/raw-exchange.ts';
import { isInflightAnswer } from '../http/response-head.ts';
import type { PeerEndpoint } from '../peers/endpoint.ts';
import { type PeerRequestParts, peerHeaders } from './ask.ts';
import { INFLIGHT_PROBE_MS, STARVED_RECHECK_MS } from './constants.ts';

/** How long a peer that is alive may have nothing to send. */
export interface SilenceBounds {
  readonly stallMs: number;
  /** Asked after `stallMs`: whether to wait a little more, after `silentMs` of silence in all. */
  readonly isStarved: (silentMs: number) => boolean;
}

/**
 * Judges a peer that sends content which it still downloads, when nothing comes. It may be dead, or
 * wait for its own source: it is asked, and says so if it lives. After `stallMs` it is left all the
 * same, unless it is only starved. A peer that is left for that reason is `stalled`, which is not
 * held against it.
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

/** Undefined when the peer says that it still downloads the content. */
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

/** Whether a peer says that the in-flight bytes that it has sent are wrong. Never rejects. */
export async function saysSpoilt(
  endpoint: PeerEndpoint,
  path: string,
  asker: PeerRequestParts,
  signal: AbortSignal,
): Promise<boolean> {
  return (await statusOf(endpoint, path, asker, signal)) === SPOILT_STATUS;
}

/** The status of a peer's answer for in-flight content; undefined when none comes in time. */
async function statusOf(
  { address }: PeerEndpoint,
  path: string,
  { connections, networkKeys }: PeerRequestParts,
  signal: AbortSignal,
): Promise<number | undefined> {
  const method = 'HEAD';
  const asPeer = peerHeaders(networkKeys, { method, path });
  const headers = { ...asPeer.headers, [INFLIGHT_HEADER]: 'true' };
  const request = { address, method, path, headers } as const;
  try {
    const { head, exchange } = await withinFairly(INFLIGHT_PROBE_MS, signal, (inTime) =>
      RawExchange.open(request, connections, inTime),
    );
    exchange.close();
    return head.status;
  } catch {
    return undefined;
  }
}
