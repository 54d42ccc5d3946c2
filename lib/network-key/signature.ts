import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { NetworkKey } from './network-key.ts';

/** For how long a signature is good: a peer is asked at once, or not at all. */
export const VALID_S = 60;

/** How far the clocks of two hosts may be apart, either way. */
export const CLOCK_TOLERANCE_S = 300;

/** One spelling: with leading zeros one signature would have many. */
const FORM = /^v1 ([1-9]\d{0,10}) ([0-9a-f]{64})$/;
const PROOF_FORM = /^[0-9a-f]{64}$/;
/** The form has at most 79 characters. */
const MAX_LENGTH = 80;

/** What a signature is of: another method or path, query included, is another request. */
export interface SignedRequest {
  readonly method: string;
  readonly path: string;
}

/** The header's value for a request that goes out now; `nowMs` is the wall clock. */
export function signRequest({ http }: NetworkKey, request: SignedRequest, nowMs = Date.now()) {
  const expiry = Math.floor(nowMs / 1_000) + VALID_S;
  return `v1 ${expiry} ${macOf(http, request, expiry).toString('hex')}`;
}

export type SignatureCheck =
  | { readonly isValid: true; readonly key: NetworkKey; readonly signature: string }
  /** One line that says what is wrong, for a person. */
  | { readonly isValid: false; readonly reason: string };

/**
 * Judges the header of a request that came, in constant time whatever key it was made with. Never
 * throws.
 */
export function verifyRequest(
  keys: readonly NetworkKey[],
  request: SignedRequest,
  signature: string | undefined,
  nowMs = Date.now(),
): SignatureCheck {
  const refuse = (reason: string): SignatureCheck => ({ isValid: false, reason });
  if (signature === undefined) return refuse('no signature of the network key');
  const form = signature.length > MAX_LENGTH ? null : FORM.exec(signature);
  if (form === null) return refuse('malformed signature');
  const [, seconds = '', hex = ''] = form;
  const expiry = Number(seconds);
  const mac = Buffer.from(hex, 'hex');
  // Every key is tried, whichever fits: the time says nothing.
  const [key] = keys.filter(({ http }) => timingSafeEqual(macOf(http, request, expiry), mac));
  if (key === undefined) return refuse('signed with another network key, or for another request');
  const now = Math.floor(nowMs / 1_000);
  const isLate = expiry < now - CLOCK_TOLERANCE_S;
  if (isLate || expiry > now + VALID_S + CLOCK_TOLERANCE_S) {
    const theirs = timeOf(expiry - VALID_S);
    return refuse(`the clocks differ too much: signed at ${theirs}, it is ${timeOf(now)} here`);
  }
  return { isValid: true, key, signature };
}

/** Ties a tag's digest to the request that asked for it, under the key that it was signed with. */
export function proofOf({ http }: NetworkKey, signature: string, digest: string): string {
  return proofMac(http, signature, digest).toString('hex');
}

/**
 * Whether an answer that claims `digest` comes from somebody with the key. In constant time; never
 * throws.
 */
export function isProof(
  { http }: NetworkKey,
  signature: string,
  digest: string,
  proof: string | undefined,
): boolean {
  if (proof === undefined || !PROOF_FORM.test(proof)) return false;
  return timingSafeEqual(proofMac(http, signature, digest), Buffer.from(proof, 'hex'));
}

/** The first line keeps what is signed apart: a signature is never a proof. */
function macOf(key: KeyObject, { method, path }: SignedRequest, expiry: number): Buffer {
  const text = `spegel request v1\n${method}\n${path}\n${expiry}`;
  return createHmac('sha256', key).update(text).digest();
}

function proofMac(key: KeyObject, signature: string, digest: string): Buffer {
  const text = `spegel proof v1\n${signature}\n${digest}`;
  return createHmac('sha256', key).update(text).digest();
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1_000).toISOString();
}
