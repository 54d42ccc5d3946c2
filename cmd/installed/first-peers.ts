import { readFileSync } from 'node:fs';
import type { HostPort } from '../../lib/base/address.ts';
import { SpegelError } from '../../lib/base/errors.ts';
import type { FirstPeers } from '../../lib/install/checks/peers-check.ts';
import type { RegistryValues } from '../options/registry-options.ts';

/** The first peers that the settings and the file of peers name. Wrong entries are left out. */
export async function firstPeers(values: RegistryValues): Promise<FirstPeers> {
  const { parseBootstrapPeer, parsePeersFile } = await import('../../lib/daemon.ts');
  const isStatic = values.bootstrapKind.includes('static');
  const filed = parsePeersFile(textOf(values.staticBootstrapPeersFile)).peers;
  const named = [...new Set(values.staticBootstrapPeers)].flatMap((text): HostPort[] => {
    try {
      return [parseBootstrapPeer(text)];
    } catch (error) {
      if (!(error instanceof SpegelError)) throw error;
      return [];
    }
  });
  const all = [...named, ...filed].map((peer) => [`${peer.host} ${peer.port}`, peer] as const);
  const listed = isStatic ? [...new Map(all).values()] : [];
  const ways = [
    ...(values.bootstrapKind.includes('dns')
      ? [`DNS_BOOTSTRAP_DOMAIN=${values.dnsBootstrapDomain}`]
      : []),
    ...(values.bootstrapKind.includes('http')
      ? [...values.httpBootstrapUrl, ...values.httpBootstrapPeer].map(
          (url) => `HTTP_BOOTSTRAP_URL=${url}`,
        )
      : []),
  ];
  return { listed, ways };
}

function textOf(path: string | undefined): string {
  try {
    return path === undefined ? '' : readFileSync(path, 'utf8');
  } catch {
    // The daemon reports the error, and reads the file again.
    return '';
  }
}
