import type { ResponseHead } from './response-head.ts';

/** A request to a peer, without a body. */
export interface RawRequest {
  /** `host:port`; IPv6 in brackets. */
  readonly address: string;
  readonly method: 'GET' | 'HEAD';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Whether the answer has a body (RFC 9112, 6.3). */
export function hasBody(request: RawRequest, head: ResponseHead): boolean {
  return request.method === 'GET' && head.status !== 204 && head.status !== 304;
}

/** Without `Connection`, so that the connection stays open (RFC 9112, 9.3). */
export function formatRequest(request: RawRequest): string {
  const headers = { Host: request.address, ...request.headers };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${request.method} ${request.path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}
