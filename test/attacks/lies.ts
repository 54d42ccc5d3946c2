/** The lies of an evil node, one answer each: pure, bytes in, an answer out. */
import type { Lie } from './evil-spec.ts';

/** What an honest host asks for. */
export interface Asked {
  /** A manifest, rather than a layer or a config. */
  readonly isManifest: boolean;
  /** First byte; 0 for the whole. */
  readonly start: number;
  /** Byte behind the last one; undefined: to the end. */
  readonly end: number | undefined;
  /** How many GETs of blobs this asker has sent before. */
  readonly before: number;
}

export type End = 'fin' | 'silence' | 'reset';

export interface Answer {
  readonly status: 200 | 206 | 404;
  readonly length: number;
  /** Of a 206. */
  readonly contentRange: string | undefined;
  readonly body: Buffer;
  /** How it goes on when the body has been sent. */
  readonly end: End;
  /** Bytes per second; undefined: as fast as it can. */
  readonly rate: number | undefined;
  readonly isLie: boolean;
}

/** Above the 512 KiB/s below which a peer is left for the upstream. */
const DRIP_BYTES_PER_S = 700 * 1024;
/** What is asked for in small pieces, or is small, is right. */
const SMALL = 64 * 1024;
const SMALL_BLOB = 1024 * 1024;
/** It wins trust with so many blobs, and again after each lie. */
const PENANCE = 3;

const REFUSAL: Answer = {
  status: 404,
  length: 0,
  contentRange: undefined,
  body: Buffer.alloc(0),
  end: 'fin',
  rate: undefined,
  isLie: false,
};

/** Answers a GET for content of which `right` are the right bytes. */
export function answerOf(lie: Lie, right: Buffer, asked: Asked): Answer {
  if (asked.isManifest) return lie === 'manifests' ? wholeLie(right, asked) : truth(right, asked);
  switch (lie) {
    case 'wrong-bytes':
      return wholeLie(right, asked);
    case 'wrong-last-byte':
      return { ...truth(right, asked), body: spoilLast(right, asked), isLie: true };
    case 'cut-half':
      return cut(right, asked, Math.ceil(right.length / 2), 'fin');
    case 'cut-one-byte':
      return cut(right, asked, 1, 'fin');
    case 'cut-last-byte':
      return cut(right, asked, right.length - 1, 'fin');
    case 'cut-silent':
      return cut(right, asked, Math.ceil(right.length / 2), 'silence');
    case 'cut-reset':
      return cut(right, asked, Math.ceil(right.length / 2), 'reset');
    case 'longer':
      return otherLength(right, asked, 4096);
    case 'shorter':
      return otherLength(right, asked, -4096);
    case 'drip':
      return { ...wholeLie(right, asked), rate: DRIP_BYTES_PER_S };
    case 'penitent':
      return asked.before % (PENANCE + 1) === PENANCE
        ? cut(right, asked, Math.ceil(right.length / 2), 'fin')
        : truth(right, asked);
    case 'wrong-rest':
      return asked.start === 0 ? halfTruth(right, asked) : wholeLie(right, asked);
    case 'small-is-right': {
      const { end = right.length, start } = asked;
      const isSmall = end - start <= SMALL || right.length <= SMALL_BLOB;
      return isSmall ? truth(right, asked) : cut(right, asked, right.length >> 1, 'fin');
    }
    case 'manifests':
      // A config is the small blob of every image, and the only one of a few hundred bytes.
      return right.length < SMALL ? wholeLie(right, asked) : truth(right, asked);
  }
}

function truth(right: Buffer, { start, end = right.length }: Asked): Answer {
  if (start >= right.length || end > right.length || start > end) return REFUSAL;
  const isWhole = start === 0 && end === right.length;
  return {
    status: isWhole ? 200 : 206,
    length: end - start,
    contentRange: isWhole ? undefined : `bytes ${start}-${end - 1}/${right.length}`,
    body: right.subarray(start, end),
    end: 'fin',
    rate: undefined,
    isLie: false,
  };
}

/** Wrong bytes of the right length. */
function wholeLie(right: Buffer, asked: Asked): Answer {
  const answer = truth(right, asked);
  return { ...answer, body: spoil(answer.body), isLie: answer.status !== 404 };
}

/**
 * Wrong bytes, and an end at byte `at`. Whoever comes for the rest is sent away, to the upstream.
 */
function cut(right: Buffer, asked: Asked, at: number, end: End): Answer {
  const answer = truth(right, asked);
  if (answer.status === 404 || asked.start >= at) return REFUSAL;
  const body = spoil(answer.body.subarray(0, at - asked.start));
  return { ...answer, body, end, isLie: true };
}

/** Right bytes and an early end: the lie is for whoever comes for the rest. */
function halfTruth(right: Buffer, asked: Asked): Answer {
  const answer = truth(right, asked);
  return { ...answer, body: answer.body.subarray(0, answer.body.length >> 1) };
}

/** Wrong bytes that are more or fewer than there are, in a head that is true to itself. */
function otherLength(right: Buffer, { start }: Asked, more: number): Answer {
  const size = Math.max(start + 1, right.length + more);
  const body = spoil(Buffer.concat([right, Buffer.alloc(Math.max(0, more))]).subarray(start, size));
  const isWhole = start === 0;
  return {
    status: isWhole ? 200 : 206,
    length: body.length,
    contentRange: isWhole ? undefined : `bytes ${start}-${size - 1}/${size}`,
    body,
    end: 'fin',
    rate: undefined,
    isLie: true,
  };
}

function spoil(bytes: Buffer): Buffer {
  const wrong = Buffer.from(bytes);
  for (let at = 0; at < wrong.length; at += 1) wrong[at] = (wrong[at] ?? 0) ^ 0xff;
  return wrong;
}

/** Right but for the very last byte of the content. */
function spoilLast(right: Buffer, asked: Asked): Buffer {
  const { body } = truth(right, asked);
  const { end = right.length } = asked;
  return end < right.length
    ? body
    : Buffer.concat([body.subarray(0, -1), spoil(body.subarray(-1))]);
}
