import { COMMON_OPTIONS } from './common-options.ts';
import { list, optional, optionalToggle, single, toggle, type ValuesOf } from './option.ts';
import { parsePattern, splitPatterns } from './patterns.ts';
import { PEER_OPTIONS } from './peer-options.ts';
import {
  durationBetween,
  integerBetween,
  oneOf,
  parseHostsPaths,
  parseIpAddress,
  parseListenAddress,
  parseMirrorClient,
  parseNamespace,
  parsePath,
  parsePathOrNone,
  parseRate,
  parseRegistry,
  parseSocketPath,
} from './values.ts';

const CONTENT_STORES = ['containerd', 'oci-layout'] as const;
const TAG_SOURCES = ['upstream', 'peers'] as const;

const LISTENING = 'Addresses:';
const CONTENT = 'Content:';
const SELECTION = 'What is shared and mirrored:';
const MIRRORING = 'Mirroring:';

/** Options of `spegel registry`, named as in Go Spegel 0.3 where it has them. */
export const REGISTRY_OPTIONS = {
  registryAddr: single({
    flag: '--registry-addr',
    placeholder: 'address',
    group: LISTENING,
    help: 'where containerd and peers ask for content',
    fallback: ':5000',
    parse: parseListenAddress,
  }),
  routerAddr: single({
    flag: '--router-addr',
    placeholder: 'address',
    group: LISTENING,
    help: 'where peers ask which hosts have content',
    fallback: ':5001',
    parse: parseListenAddress,
  }),
  metricsAddr: single({
    flag: '--metrics-addr',
    placeholder: 'address',
    group: LISTENING,
    help: 'where /metrics is answered',
    fallback: ':9090',
    parse: parseListenAddress,
  }),
  advertiseAddress: list({
    flag: '--advertise-address',
    placeholder: 'ip',
    group: LISTENING,
    help: "addresses that peers are told, instead of the default route's",
    parse: parseIpAddress,
  }),

  contentStore: single({
    flag: '--content-store',
    placeholder: 'kind',
    group: CONTENT,
    choices: CONTENT_STORES,
    help: 'where local content lives: containerd or oci-layout',
    fallback: 'containerd',
    parse: oneOf(CONTENT_STORES),
  }),
  ociLayoutPath: optional({
    flag: '--oci-layout-path',
    placeholder: 'path',
    group: CONTENT,
    help: 'OCI image layout directory, for --content-store oci-layout',
    parse: parsePath,
  }),
  containerdSock: single({
    flag: '--containerd-sock',
    placeholder: 'path',
    group: CONTENT,
    help: "containerd's gRPC socket",
    fallback: '/run/containerd/containerd.sock',
    parse: parseSocketPath,
  }),
  containerdNamespace: list({
    flag: '--containerd-namespace',
    placeholder: 'name',
    group: CONTENT,
    help: 'containerd namespaces whose images are shared, * for all',
    fallback: 'k8s.io,default',
    parse: parseNamespace,
  }),
  containerdContentPath: optional({
    flag: '--containerd-content-path',
    placeholder: 'path',
    group: CONTENT,
    help: "root of containerd's content store; containerd is asked for it unless given",
    parse: parsePath,
  }),
  dataDir: single({
    flag: '--data-dir',
    placeholder: 'path',
    group: CONTENT,
    help: 'where the identity key and the peers met lately are kept; empty keeps nothing',
    fallback: '/var/lib/spegel',
    emptyCounts: true,
    parse: parsePathOrNone,
  }),

  mirroredRegistries: list({
    flag: '--mirrored-registries',
    placeholder: 'url',
    group: SELECTION,
    help: 'registries to mirror, such as https://docker.io; all unless given',
    parse: parseRegistry,
  }),
  registryFilters: list({
    flag: '--registry-filters',
    placeholder: 'regexp',
    group: SELECTION,
    help: 'regular expressions; a name <registry>/<repository>[:<tag>] that matches one is left out',
    parse: parsePattern,
    split: splitPatterns,
  }),
  resolveLatestTag: optionalToggle({
    flag: '--resolve-latest-tag',
    group: SELECTION,
    help: "deprecated: instead of false use --registry-filters ':latest$'",
  }),

  ...PEER_OPTIONS,

  mirrorResolveTimeout: single({
    flag: '--mirror-resolve-timeout',
    placeholder: 'duration',
    group: MIRRORING,
    help: 'longest wait for the first peer that has the content',
    fallback: '200ms',
    parse: durationBetween(1, 30_000),
  }),
  mirrorResolveRetries: single({
    flag: '--mirror-resolve-retries',
    placeholder: 'count',
    group: MIRRORING,
    help: 'refusals of peers until containerd is sent upstream',
    fallback: '3',
    parse: integerBetween(1, 100),
  }),
  tagSource: single({
    flag: '--tag-source',
    placeholder: 'source',
    group: MIRRORING,
    choices: TAG_SOURCES,
    help: 'where the meaning of a tag comes from: upstream (peers only where it fails containerd) or peers',
    fallback: 'upstream',
    parse: oneOf(TAG_SOURCES),
  }),
  containerdRegistryConfigPath: single({
    flag: '--containerd-registry-config-path',
    placeholder: 'paths',
    group: MIRRORING,
    help: "containerd's config_path, one directory or several (a:b): the hosts and servers in its hosts.toml files are upstreams too; only read",
    fallback: '/etc/containerd/certs.d',
    parse: parseHostsPaths,
  }),
  mirrorClients: list({
    flag: '--mirror-clients',
    placeholder: 'clients',
    choices: ['any', 'host'],
    group: MIRRORING,
    help: 'clients on other hosts that are mirrored: any, host (none of them), or addresses such as 10.0.3.0/24, which need no key; any unless given, host with --network-key-file',
    parse: parseMirrorClient,
  }),
  parallelFetch: toggle({
    flag: '--parallel-fetch',
    group: MIRRORING,
    help: 'answer the first range (bytes=0-) as one, so that containerd 2.1 and later fetches a layer in parallel parts, which have no fallback to the upstream',
    fallback: 'false',
  }),
  inflight: toggle({
    flag: '--inflight',
    group: MIRRORING,
    help: 'share layers while they download; false shares complete ones only',
    fallback: 'true',
  }),
  inflightWait: single({
    flag: '--inflight-wait',
    placeholder: 'duration',
    group: MIRRORING,
    help: 'longest wait for a layer that a peer is still downloading, up to 4s; five times as long while other layers take the link',
    fallback: '2s',
    parse: durationBetween(100, 4_000),
  }),
  minSourceRate: single({
    flag: '--min-source-rate',
    placeholder: 'rate',
    group: MIRRORING,
    help: 'a peer slower than this (once it is known: than half of what the upstream gives) is left while the upstream answers; 0: only one below 512 KiB/s',
    fallback: '1MB/s',
    parse: parseRate,
  }),

  ...COMMON_OPTIONS,
} as const;

export type RegistryValues = ValuesOf<typeof REGISTRY_OPTIONS>;
