import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../base/log.ts';
import type { Miss } from '../mirror/mirror.ts';
import { type OciErrorCode, ociErrorBody } from '../oci/errors.ts';
import type { Visit } from './clients.ts';
import type { Prove } from './gate.ts';

/** One request on its way through the registry. */
export interface Call extends Omit<Visit, 'leave'> {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  /** In a closed network, of a peer's request. */
  readonly prove?: Prove | undefined;
  readonly log: Logger;
}

/** May be answered from the fleet; everybody else gets local content. */
export function isMirrored({ role }: Call): boolean {
  return role === 'host' || role === 'client';
}

/** For log lines about what it got: which client on another host it was; nothing for this host. */
export function clientOf({ role, address }: Call): { readonly client?: string } {
  return role === 'client' ? { client: address } : {};
}

export type Headers = Readonly<Record<string, string | number>>;

/** Answers with a body that is in memory; of a HEAD request, with its headers only. */
export function sendWhole(
  call: Call,
  status: number,
  headers: Headers,
  body: string | Buffer,
): void {
  if (call.signal.aborted) return;
  const length = Buffer.byteLength(body);
  call.response.writeHead(status, { ...headers, 'Content-Length': length });
  call.response.end(call.request.method === 'HEAD' ? undefined : body);
}

/** Answers with an error in the form of the OCI distribution-spec. */
export function sendError(
  call: Call,
  status: number,
  code: OciErrorCode,
  message: string,
  more: { readonly detail?: unknown; readonly headers?: Headers } = {},
): void {
  const headers = { 'Content-Type': 'application/json', ...more.headers };
  sendWhole(call, status, headers, ociErrorBody(code, message, more.detail));
}

/** Answers one that is not mirrored that this host has it not, and why nobody else was asked. */
export function sendNotHere(call: Call, code: OciErrorCode, key: string): void {
  call.refusal?.tell();
  const why = call.refusal === undefined ? '' : `; ${call.refusal.reason}`;
  sendError(call, 404, code, `${key} is not on this host${why}`);
}

/** Answers that neither this host nor the fleet has it. Not an error: containerd goes on to the upstream. */
export function sendMiss(call: Call, code: OciErrorCode, key: string, miss: Miss): void {
  if (call.signal.aborted) return;
  const { reason, tried } = miss;
  call.log.info('not found', { key, reason, tried, ...clientOf(call) });
  sendError(call, 404, code, `spegel: ${reason}`, { detail: { key, tried } });
}
