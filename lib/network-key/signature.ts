import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { CLOCK_TOLERANCE_S, SIGNATURE_VALID_S } from './constants.ts';
import type { NetworkKey } from './network-key.ts';

/** No leading zeros: a signature must have only one spelling. */
const FORM = /^v1 ([1-9]\d{0,10}) ([0-9a-f]{64})$/;
const PROOF_FORM = /^[0-9a-f]{64}$/;
/** FORM matches at most 79 characters. */
const MAX_LENGTH = 80;

/** What a signature covers. `path` includes the query. */
export interface SignedRequest {
  readonly method: string;
  readonly path: string;
}

/** The value of the signature header for a request that is sent at `nowMs` (wall clock). */
export function signRequest({ http }: NetworkKey, request: SignedRequest, nowMs = Date.now()) {
  const expiry = Math.floor(nowMs / 1_000) + SIGNATURE_VALID_S;
  return `v1 ${expiry} ${macOf(http, request, expiry).toString('hex')}`;
}

export type SignatureCheck =
  | { readonly isValid: true; readonly key: NetworkKey; readonly signature: string }
  /** One line for the log that says what is wrong. */
  | { readonly isValid: false; readonly reason: string };

/** Checks the signature of a request, in constant time for all keys. Never throws. */
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
  // Tries every key, so that the time does not tell which one matches.
  const [key] = keys.filter(({ http }) => timingSafeEqual(macOf(http, request, expiry), mac));
  if (key === undefined) return refuse('signed with another network key, or for another request');
  const now = Math.floor(nowMs / 1_000);
  const isLate = expiry < now - CLOCK_TOLERANCE_S;
  if (isLate || expiry > now + SIGNATURE_VALID_S + CLOCK_TOLERANCE_S) {
    const theirs = timeOf(expiry - SIGNATURE_VALID_S);
    return refuse(`the clocks differ too much: signed at ${theirs}, it is ${timeOf(now)} here`);
  }
  return { isValid: true, key, signature };
}

/** Binds a tag's digest to the request that asked for it, with the key that signed the request. */
export function proofOf({ http }: NetworkKey, signature: string, digest: string): string {
  return proofMac(http, signature, digest).toString('hex');
}

/** Whether an answer that names `digest` comes from a host with the key. In constant time. */
export function isProof(
  { http }: NetworkKey,
  signature: string,
  digest: string,
  proof: string | undefined,
): boolean {
  if (proof === undefined || !PROOF_FORM.test(proof)) return false;
  return timingSafeEqual(proofMac(http, signature, digest), Buffer.from(proof, 'hex'));
}

/** The first line of the text differs from a proof's, so that no signature can pass as a proof. */
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
