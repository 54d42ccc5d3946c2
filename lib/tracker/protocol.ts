import { type Digest, isDigest } from '../oci/digest.ts';
import { MAX_MESSAGE_BYTES } from '../routing/peer-protocol.ts';
import type { AssignedSource, SourceAnswer } from './assignment.ts';

/** How far a puller is with one digest. */
export interface Pull {
  readonly digest: Digest;
  /** Bytes that it has, from 0 on. */
  readonly have: number;
  /** Id of the peer that it gets its bytes from; undefined: the upstream. */
  readonly source: string | undefined;
}

/** What a puller asks or tells. libp2p knows the sender: no peer can speak for another. */
export type TrackerMessage =
  | {
      readonly type: 'ask';
      readonly digest: Digest;
      readonly have: number;
      readonly failed: readonly string[];
      /** A manifest or a small blob. */
      readonly isSmall: boolean;
      /** What the registry gave the puller lately, in bytes per second. */
      readonly upstreamRate?: number | undefined;
      /** Its source gives less than this, in bytes per second. */
      readonly wantedRate?: number | undefined;
    }
  | { readonly type: 'report'; readonly pulls: readonly Pull[] }
  /** It has the whole content now. */
  | { readonly type: 'done'; readonly digest: Digest }
  /** It gave up. `isSpoilt`: it had all bytes, and they were wrong. */
  | { readonly type: 'gone'; readonly digest: Digest; readonly isSpoilt: boolean };

/** A tracker's answer to everything but a question. */
export interface Receipt {
  readonly ok: true;
  /** After how many milliseconds it wants the next report. */
  readonly nextReportMs: number;
  /** Digests for which it knows a better source by now: the puller should ask again. */
  readonly again: readonly Digest[];
}

/** Entries of one list in a message: a longer list is refused. */
export const MAX_LIST = 16;

/**
 * base58 (today's ids) or base36 (CIDs). Ids are only compared, so their checksum does not matter.
 */
const PEER_ID = /^[0-9A-Za-z]{1,128}$/;

/** Characters of a wrong value that an error repeats. */
const MAX_SHOWN = 60;

/**
 * JSON, since it is bounded, read once per digest and second, and readable in a trace. Members that
 * are not known are skipped, so that a later version can add some; a change of meaning takes
 * another protocol id.
 */
export function encodeTrackerMessage(message: TrackerMessage | SourceAnswer | Receipt): Uint8Array {
  const bytes = Buffer.from(JSON.stringify(message));
  if (bytes.length > MAX_MESSAGE_BYTES)
    throw expected(`at most ${MAX_MESSAGE_BYTES} bytes`, bytes.length);
  return bytes;
}

/** Reads a puller's message. Throws an error that says what was expected and what came. */
export function decodeTrackerMessage(bytes: Uint8Array): TrackerMessage {
  const message = parse(bytes);
  switch (message.type) {
    case 'ask':
      return {
        type: 'ask',
        digest: digest(message.digest),
        have: count(message.have, 'have'),
        failed: list(message.failed, 'failed').map(peer),
        isSmall: truth(message.isSmall ?? false, 'isSmall'),
        ...rate(message, 'upstreamRate'),
        ...rate(message, 'wantedRate'),
      };
    case 'report':
      return {
        type: 'report',
        pulls: list(message.pulls, 'pulls').map(pull),
      };
    case 'done':
      return { type: 'done', digest: digest(message.digest) };
    case 'gone':
      return {
        type: 'gone',
        digest: digest(message.digest),
        isSpoilt: truth(message.isSpoilt ?? false, 'isSpoilt'),
      };
    default:
      throw expected("type 'ask', 'report', 'done' or 'gone'", message.type);
  }
}

/**
 * Reads a tracker's answer to a question. Throws an error that says what was expected and what
 * came.
 */
export function decodeAnswer(bytes: Uint8Array): SourceAnswer {
  const answer = parse(bytes);
  if (answer.role === 'lead') return { role: 'lead' };
  if (answer.role !== 'follow') throw expected("role 'lead' or 'follow'", answer.role);
  const sources = list(answer.sources, 'sources').map(source);
  if (sources.length === 0) throw expected('at least one source', answer.sources);
  const depth = count(answer.depth, 'depth');
  return { role: 'follow', sources, depth, ...rate(answer, 'usualRate') };
}

/**
 * Reads a tracker's answer to anything else. Throws an error that says what was expected and what
 * came.
 */
export function decodeReceipt(bytes: Uint8Array): Receipt {
  const receipt = parse(bytes);
  if (receipt.ok !== true) throw expected('ok: true', receipt.ok);
  const again = list(receipt.again ?? [], 'again').map(digest);
  return { ok: true, nextReportMs: count(receipt.nextReportMs, 'nextReportMs'), again };
}

type Members = Readonly<Record<string, unknown>>;

function parse(bytes: Uint8Array): Members {
  if (bytes.length > MAX_MESSAGE_BYTES)
    throw expected(`at most ${MAX_MESSAGE_BYTES} bytes`, bytes.length);
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  return object(JSON.parse(text), 'message');
}

function object(value: unknown, name: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw expected(`${name} as a JSON object`, value);
  return value as Members;
}

function list(value: unknown, name: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length > MAX_LIST)
    throw expected(`${name} as a list of at most ${MAX_LIST}`, value);
  return value;
}

function pull(value: unknown): Pull {
  const members = object(value, 'pull');
  return {
    digest: digest(members.digest),
    have: count(members.have, 'have'),
    source: members.source === undefined ? undefined : peer(members.source),
  };
}

function source(value: unknown): AssignedSource {
  const members = object(value, 'source');
  return { peer: peer(members.peer), isWhole: truth(members.isWhole, 'isWhole') };
}

function digest(value: unknown): Digest {
  if (typeof value !== 'string' || !isDigest(value)) throw expected('a sha256 digest', value);
  return value;
}

function peer(value: unknown): string {
  if (typeof value !== 'string' || !PEER_ID.test(value)) throw expected('a peer id', value);
  return value;
}

function count(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw expected(`${name} as a whole number from 0 on`, value);
  return value === 0 ? 0 : value; // JSON knows -0
}

/** Older builds have no such member. */
function rate<Name extends string>(
  members: Members,
  name: Name,
): { readonly [N in Name]?: number } {
  if (members[name] === undefined) return {};
  return { [name]: count(members[name], name) } as { [N in Name]?: number };
}

function truth(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw expected(`${name} as true or false`, value);
  return value;
}

function expected(what: string, value: unknown): Error {
  const came = JSON.stringify(value) ?? 'nothing';
  const shown = came.length > MAX_SHOWN ? `${came.slice(0, MAX_SHOWN)}…` : came;
  return new Error(`tracker protocol: expected ${what}, but came ${shown}`);
}
