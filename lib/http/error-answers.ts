import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { endCleanly } from './end-cleanly.ts';

type ErrorCode = 'UNSUPPORTED' | 'DENIED';

/** No 408 or 429: containerd would ask this host five times more. */
const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  431: 'Request Header Fields Too Large',
  503: 'Service Unavailable',
};

/** Answers with an error in the form of the OCI distribution-spec. */
export function sendHttpError(
  response: ServerResponse,
  status: number,
  message: string,
  code: ErrorCode = 'UNSUPPORTED',
): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(errorBody(message, code));
}

/**
 * A handler for a server that stops, and for an address that is not its own. containerd goes to the
 * upstream at once.
 */
export function sendNotServed(_request: IncomingMessage, response: ServerResponse): void {
  sendHttpError(response, 404, 'nothing is served here now');
}

/** Answers on a connection without a valid request, or with one too many, and ends it. */
export function refuse(socket: Socket, status: number, message: string): void {
  const body = errorBody(message);
  endCleanly(
    socket,
    `HTTP/1.1 ${status} ${REASONS[status]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** The same form as in oci/, a room that this one cannot import. */
function errorBody(message: string, code: ErrorCode = 'UNSUPPORTED'): string {
  return JSON.stringify({ errors: [{ code, message }] });
}
