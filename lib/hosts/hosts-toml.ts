import { parse } from 'toml';

/** A host of a hosts.toml that containerd asks, or its `server`. */
export interface RegistryHost {
  /** As written, `https://` put in front where no scheme is. */
  readonly url: string;
  /** May resolve tags: capability `resolve`, which a host without `capabilities` has. */
  readonly resolves: boolean;
}

/** What a hosts.toml says of whom to ask (containerd, docs/hosts.md). */
export interface HostsFile {
  /** In the file's order. */
  readonly hosts: readonly RegistryHost[];
  /** Asked last; undefined: the registry itself. */
  readonly server: RegistryHost | undefined;
}

/** Reads a hosts.toml. Undefined for text that is no TOML; what has another type than expected counts as absent. */
export function parseHostsToml(text: string): HostsFile | undefined {
  let document: Record<string, unknown>;
  try {
    document = parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const { server, host } = document;
  return {
    hosts: Object.entries(tableOf(host)).map(([url, settings]) => hostOf(url, settings)),
    server: typeof server === 'string' ? hostOf(server, document) : undefined,
  };
}

function hostOf(url: string, settings: unknown): RegistryHost {
  const { capabilities } = tableOf(settings);
  return {
    url: url.includes('://') ? url : `https://${url}`,
    resolves: !Array.isArray(capabilities) || capabilities.includes('resolve'),
  };
}

function tableOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
