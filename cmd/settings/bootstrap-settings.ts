import { SpegelError } from '../../lib/base/errors.ts';
import type { BootstrapKind, BootstrapPeer, BootstrapSettings } from '../../lib/daemon.ts';
import type { ValuesOf } from '../options/option.ts';
import { PEER_OPTIONS } from '../options/peer-options.ts';

export type PeerValues = ValuesOf<typeof PEER_OPTIONS>;

/**
 * The settings of bootstrapping. Throws SpegelError ERR_USAGE for a kind without the options that
 * it needs.
 */
export function bootstrapSettings(
  values: PeerValues,
  staticPeers: readonly BootstrapPeer[],
): BootstrapSettings {
  const kinds = [...new Set(values.bootstrapKind)];
  const httpUrls = [...new Set([...values.httpBootstrapUrl, ...values.httpBootstrapPeer])];
  if (kinds.includes('dns') && values.dnsBootstrapDomain === undefined) {
    throw lacks('dns', '--dns-bootstrap-domain');
  }
  if (kinds.includes('http') && httpUrls.length === 0 && values.httpBootstrapAddr === undefined) {
    throw lacks('http', '--http-bootstrap-url or --http-bootstrap-addr');
  }
  return {
    kinds,
    staticPeers,
    staticPeersFile: values.staticBootstrapPeersFile,
    dnsDomain: values.dnsBootstrapDomain,
    httpAddress: kinds.includes('http') ? values.httpBootstrapAddr : undefined,
    httpUrls,
  };
}

function lacks(kind: BootstrapKind, options: string): SpegelError {
  return new SpegelError(
    'ERR_USAGE',
    `--bootstrap-kind ${kind}: expected ${options} beside it, got none`,
  );
}

const KIND_OF = {
  staticBootstrapPeers: 'static',
  staticBootstrapPeersFile: 'static',
  dnsBootstrapDomain: 'dns',
  httpBootstrapAddr: 'http',
  httpBootstrapUrl: 'http',
  httpBootstrapPeer: 'http',
} as const satisfies Partial<Record<keyof PeerValues, BootstrapKind>>;

/** One message for each option that has no effect, because its kind is not named. */
export function unusedBootstrapOptions(values: PeerValues): string[] {
  const keys = Object.keys(KIND_OF) as (keyof typeof KIND_OF)[];
  return keys.flatMap((key) => {
    const { flag, fallback, parse } = PEER_OPTIONS[key];
    const kind = KIND_OF[key];
    const unset = parse(fallback === undefined || fallback === '' ? [] : [fallback]);
    const isGiven = JSON.stringify(values[key]) !== JSON.stringify(unset);
    if (!isGiven || values.bootstrapKind.includes(kind)) return [];
    return [`${flag} is not used: --bootstrap-kind does not name ${kind}`];
  });
}
