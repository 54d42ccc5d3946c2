import { join } from 'node:path';
import type { CriSettings, OldTls } from './cri-settings.ts';

/** A hosts.toml file that says the same of one registry as containerd's old settings. */
export interface MigratedFile {
  readonly path: string;
  readonly text: string;
}

/** The address of a registry that has another name. */
const SERVERS: Readonly<Record<string, string>> = { 'docker.io': 'https://registry-1.docker.io' };

/**
 * Turns the old `registry.mirrors` and `registry.configs.*.tls` into files below `root`, which
 * containerd reads when `config_path` names it. A host with nothing but TLS settings gets a file,
 * too.
 */
export function migratedFiles({ mirrors, tls }: CriSettings, root: string): MigratedFile[] {
  const hostsOf = (endpoints: readonly string[]) => new Set(endpoints.map(hostOf));
  const mirrored = new Set(Object.values(mirrors).flatMap((endpoints) => [...hostsOf(endpoints)]));
  const alone = Object.keys(tls).filter((host) => !(host in mirrors) && !mirrored.has(host));
  return [
    ...Object.entries(mirrors).map(([name, endpoints]) => ({ name, endpoints })),
    ...alone.map((name) => ({ name, endpoints: [`https://${name}`] })),
  ].map(({ name, endpoints }) => ({
    path: join(root, name === '*' ? '_default' : name, 'hosts.toml'),
    text: hostsToml(name, endpoints, tls),
  }));
}

function hostsToml(
  name: string,
  endpoints: readonly string[],
  tls: Readonly<Record<string, OldTls>>,
): string {
  // Without a server, _default lets containerd go on to the registry of the image.
  const server = name === '*' ? [] : [`server = ${quoted(SERVERS[name] ?? `https://${name}`)}`];
  const own = name === '*' ? undefined : tls[name];
  const hosts = endpoints.map((endpoint) => {
    const lines = [`[host.${quoted(endpoint)}]`, '  capabilities = ["pull", "resolve"]'];
    // The old settings took a path as it was; hosts.toml adds /v2.
    if (!['', '/'].includes(pathOf(endpoint))) lines.push('  override_path = true');
    return [...lines, ...tlsLines(tls[hostOf(endpoint)]).map((line) => `  ${line}`)].join('\n');
  });
  const head = [...server, ...tlsLines(own)].join('\n');
  return `${[head, ...hosts].filter((part) => part !== '').join('\n\n')}\n`;
}

function tlsLines(tls: OldTls | undefined): string[] {
  if (tls === undefined) return [];
  const { skipVerify, ca, cert, key } = tls;
  const pair = key === undefined ? [quoted(cert ?? '')] : [quoted(cert ?? ''), quoted(key)];
  return [
    ...(ca === undefined ? [] : [`ca = ${quoted(ca)}`]),
    ...(cert === undefined ? [] : [`client = [[${pair.join(', ')}]]`]),
    ...(skipVerify ? ['skip_verify = true'] : []),
  ];
}

function hostOf(endpoint: string): string {
  return endpoint.replace(/^https?:\/\//, '').replace(/\/.*$/s, '');
}

function pathOf(endpoint: string): string {
  return endpoint.replace(/^https?:\/\//, '').replace(/^[^/]*/, '');
}

/** A TOML basic string: it has all escapes of JSON. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
