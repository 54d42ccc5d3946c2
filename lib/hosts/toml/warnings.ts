import { parseDuration } from '../../base/duration.ts';
import { meaningOf } from './semantics.ts';
import { BYTE_ORDER_MARK } from './statements.ts';

const CAPABILITIES = ['pull', 'resolve', 'push'];
/** A capability that containerd knows from 2.2 on. */
const REFERRERS = 'referrers';

/**
 * Why some containerd rejects a file that our block joins (seen on 1.6, 1.7, 2.1 and 2.4). Nothing
 * of it is ours to change.
 */
export function warningsOf(text: string): string[] {
  const meaning = meaningOf(text);
  const tables = [meaning.root, ...Object.values(meaning.hosts ?? {})] as Record<string, unknown>[];
  const warnings = tables.flatMap(rejectedValues);
  if (text.startsWith(BYTE_ORDER_MARK)) {
    warnings.push('containerd 2 rejects the file for the byte order mark at its beginning');
  }
  const v6 = meaning.order.find((host) => /^\w+:\/\/\[/.test(host));
  if (v6 !== undefined) {
    warnings.push(`containerd before 2.0 rejects the file for the IPv6 address in [host."${v6}"]`);
  }
  return warnings;
}

function rejectedValues({ capabilities, dial_timeout }: Record<string, unknown>): string[] {
  const isNoDuration =
    typeof dial_timeout === 'string' && parseDuration(dial_timeout) === undefined;
  return [
    ...(Array.isArray(capabilities) ? rejectedCapability(capabilities.map(String)) : []),
    ...(isNoDuration ? [`containerd 2 rejects the file for dial_timeout = "${dial_timeout}"`] : []),
  ];
}

function rejectedCapability(capabilities: readonly string[]): string[] {
  const unknown = capabilities.filter((one) => !CAPABILITIES.includes(one.toLowerCase()));
  const never = unknown.find((one) => one.toLowerCase() !== REFERRERS);
  if (never !== undefined) return [`containerd rejects the file for the capability ${never}`];
  if (unknown.length === 0) return [];
  return [`containerd before 2.2 rejects the file for the capability ${REFERRERS}`];
}
