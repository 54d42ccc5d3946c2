import { codeOf, messageOf } from '../base/errors.ts';

/** Why an upstream registry does not give a tag. Label of `spegel_upstream_failures_total`. */
export type UpstreamFailureReason =
  | 'rate_limited'
  | 'server_error'
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'refused'
  | 'unreachable'
  | 'unknown_name'
  | 'timeout'
  | 'tls'
  | 'closed'
  | 'invalid';

/** A request without an HTTP answer. */
export class UpstreamFailure extends Error {
  override readonly name = 'UpstreamFailure';
  readonly reason: UpstreamFailureReason;
  /**
   * True if the other side speaks TLS, but its certificate is not trusted or it wants another
   * handshake.
   */
  readonly speaksTls: boolean;

  constructor(reason: UpstreamFailureReason, message: string, speaksTls = false) {
    super(message);
    this.reason = reason;
    this.speaksTls = speaksTls;
  }

  /**
   * True if nothing listens there for any client with the same route. Waiting longer cannot help.
   */
  get isDefinite(): boolean {
    return DEFINITE.includes(this.reason);
  }
}

const DEFINITE: readonly UpstreamFailureReason[] = ['refused', 'unreachable', 'unknown_name'];

/** Classifies an error of Node's HTTP client. */
export function failureOf(error: unknown): UpstreamFailure {
  if (error instanceof UpstreamFailure) return error;
  // Of several addresses, one that is only slow may still answer containerd.
  if (error instanceof AggregateError && error.errors.length > 0) {
    const all = error.errors.map(failureOf);
    return all.find((one) => !one.isDefinite) ?? (all[0] as UpstreamFailure);
  }
  const message = messageOf(error);
  const code = codeOf(error) ?? '';
  const reason = BY_CODE[code];
  // A name server that refuses the connection tells nothing about the registry.
  if (isOfDns(error) && reason !== 'unknown_name') return new UpstreamFailure('timeout', message);
  if (reason !== undefined) return new UpstreamFailure(reason, message);
  if (isAbort(error)) return new UpstreamFailure('timeout', 'no answer in time');
  if (isTlsAlert(code, message) || NOT_TRUSTED.test(code)) {
    return new UpstreamFailure('tls', message, true);
  }
  const isOfTls = NOT_TLS.test(code) || UNUSABLE_FILE.test(code);
  return new UpstreamFailure(isOfTls ? 'tls' : 'invalid', message);
}

/**
 * True if the other side does not speak TLS or closes the connection on a TLS hello. It may speak
 * plain HTTP.
 */
export function speaksNoTls(error: unknown): boolean {
  const code = codeOf(error) ?? '';
  return NOT_TLS.test(code) && !isTlsAlert(code, messageOf(error));
}

/** The reason for an HTTP status that is not a success. */
export function reasonOfStatus(status: number): UpstreamFailureReason {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not_found';
  if (status === 429) return 'rate_limited';
  return status >= 500 ? 'server_error' : 'invalid';
}

const BY_CODE: Readonly<Record<string, UpstreamFailureReason>> = {
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  ENOTFOUND: 'unknown_name',
  ETIMEDOUT: 'timeout',
  ETIMEOUT: 'timeout',
  EAI_AGAIN: 'timeout',
  ERR_SOCKET_CONNECTION_TIMEOUT: 'timeout',
  ECONNRESET: 'closed',
  EPIPE: 'closed',
};

/** The calls of c-ares are named `queryA`, `queryAaaa`. */
function isOfDns(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && /^query/.test(String(error.syscall));
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}

/** An alert is part of TLS: the server wants a client certificate or a newer version. */
function isTlsAlert(code: string, message: string): boolean {
  return NOT_TLS.test(code) && /\balert\b/.test(message);
}

/**
 * Codes of OpenSSL and Node for a side that speaks plain HTTP, or closes the connection on a TLS
 * hello.
 */
const NOT_TLS = /^(?:ERR_SSL_|EPROTO$|ECONNRESET$)/;

/** A certificate or key of the hosts.toml that OpenSSL cannot read. */
const UNUSABLE_FILE = /^ERR_OSSL_/;

/**
 * Codes of Node for a certificate that it does not accept: X509_V_ERR_*, and its own for a wrong
 * name.
 */
const NOT_TRUSTED =
  /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH)/;
