import { collect } from '../http/body.ts';
import { PeerFailure } from '../http/peer-failure.ts';
import { isInflightAnswer } from '../http/response-head.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { parseManifest } from '../oci/manifest.ts';
import type { PeerEndpoint } from '../peers/endpoint.ts';
import { askPeer } from './ask.ts';
import { Candidates } from './candidates.ts';
import { checkManifest } from './expect.ts';
import { CLIENT_GONE, type Fleet, Miss } from './fleet.ts';
import { type AskEndpoint, type FailedAttempt, Race } from './race.ts';
import { type RaceStage, SourceSelector } from './source-selector.ts';

/** A manifest, checked against its digest. */
export interface FoundManifest {
  readonly digest: Digest;
  readonly content: Buffer;
  /** As the document says. */
  readonly mediaType: string;
  /** The peer it came from. */
  readonly peerId: string;
  readonly address: string;
}

/**
 * Gets a manifest from the fleet. It is read and checked inside the race, so that a peer with wrong
 * or slow bytes costs no more than a dead one. `digest` is undefined for a tag: then the bytes must
 * have the digest that the peer claims. `isShared`: the tracker is asked as well.
 */
export async function fetchManifest(
  fleet: Fleet,
  key: string,
  path: string,
  digest: Digest | undefined,
  { isShared }: { readonly isShared: boolean },
  signal: AbortSignal,
): Promise<FoundManifest | Miss> {
  const subject = { digest: isShared ? digest : undefined, isSmall: true };
  const selector = new SourceSelector(fleet, subject, new Candidates(fleet.router, key));
  const ask: AskEndpoint<Checked> = (endpoint, endpointSignal) =>
    askForManifest(fleet, selector, endpoint, { path, digest }, endpointSignal);
  const tried: FailedAttempt[] = [];
  await selector.ask(0, signal);
  for (let stage: RaceStage = 'first'; ; stage = 'again') {
    const race = new Race(fleet, selector.bounds(stage), selector.candidates, ask, signal);
    const winner = await race.run();
    tried.push(...race.tried);
    if (winner !== undefined) {
      fleet.peerHealth.succeeded(winner.endpoint);
      selector.setSource(winner.endpoint.peerId);
      return winner.answer;
    }
    if (signal.aborted) return new Miss(CLIENT_GONE, tried);
    if (!selector.giveUpNamed(tried)) return new Miss(selector.endWithMiss('manifest'), tried);
    await selector.ask(0, signal);
  }
}

type Checked = FoundManifest & { close(): void };

/** Asks one endpoint, reads the manifest and checks it. Rejects with PeerFailure. */
async function askForManifest(
  fleet: Fleet,
  selector: SourceSelector,
  endpoint: PeerEndpoint,
  { path, digest }: { readonly path: string; readonly digest: Digest | undefined },
  signal: AbortSignal,
): Promise<Checked> {
  // Nothing can check what a peer says that a tag means.
  if (digest === undefined && fleet.suspects.isAccused(endpoint))
    throw new PeerFailure('suspect', 'it has sent wrong bytes before');
  const watch = selector.watch(endpoint, path, signal);
  const request = { method: 'GET', path, watch } as const;
  const { head, exchange, provesTag } = await askPeer(endpoint, request, fleet, signal);
  try {
    const expected = checkManifest(head, digest);
    if (digest === undefined && !provesTag) throw new PeerFailure('invalid', UNPROVEN);
    const content = await collect(exchange, head.contentLength);
    return { ...checkContent(content, expected), ...endpoint, close() {} };
  } catch (error) {
    const isWrong = error instanceof PeerFailure && error.kind === 'corrupt';
    const isInflight = watch !== undefined && isInflightAnswer(head);
    if (isWrong && !isInflight) fleet.suspects.accuseAddress(endpoint);
    if (!isWrong || !isInflight) throw error;
    fleet.peerHealth.inflightWasWrong(endpoint);
    throw new PeerFailure('stalled', error.message);
  } finally {
    exchange.close();
  }
}

/** An impostor at the address of a peer that is gone could give a tag any meaning. */
const UNPROVEN = 'the answer to a tag has no proof of the network key';

function checkContent(content: Buffer, expected: Digest) {
  const digest = digestOf(content);
  if (digest !== expected) throw new PeerFailure('corrupt', `expected ${expected}, got ${digest}`);
  const manifest = parseManifest(content);
  // The upstream can say which type it is; a peer is not believed.
  if (manifest === undefined) throw new PeerFailure('refused', `${digest} is no manifest we know`);
  return { digest, content, mediaType: manifest.mediaType };
}
