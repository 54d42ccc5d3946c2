import { GENERAL_GROUP, JSON_OUTCOME } from './common-options.ts';
import { type Option, optional, toggle } from './option.ts';
import { REGISTRY_OPTIONS } from './registry-options.ts';
import { parsePathOrInput } from './values.ts';

const WRITTEN = 'Settings, written to /etc/spegel/spegel.env:';

/**
 * An option of the service as `install` takes it: checked as by the service, and kept as text for
 * the file. It does not come from the environment: a variable of the shell is not meant for the
 * file.
 */
function written<T>(option: Option<T>): Option<string> {
  const parse = (texts: readonly string[]) => {
    const value = texts.length === 0 ? undefined : option.parse(texts);
    // A path is absolute: the service runs in another directory.
    return typeof value === 'string' ? value : texts.join(',');
  };
  return { ...option, env: undefined, fallback: undefined, group: WRITTEN, parse };
}

/** The options that most hosts need. The others are in the file, as comments. */
export const WRITTEN_OPTIONS = {
  registryAddr: written(REGISTRY_OPTIONS.registryAddr),
  routerAddr: written(REGISTRY_OPTIONS.routerAddr),
  metricsAddr: written(REGISTRY_OPTIONS.metricsAddr),
  advertiseAddress: written(REGISTRY_OPTIONS.advertiseAddress),
  bootstrapKind: written(REGISTRY_OPTIONS.bootstrapKind),
  staticBootstrapPeers: written(REGISTRY_OPTIONS.staticBootstrapPeers),
  staticBootstrapPeersFile: written(REGISTRY_OPTIONS.staticBootstrapPeersFile),
  dnsBootstrapDomain: written(REGISTRY_OPTIONS.dnsBootstrapDomain),
  httpBootstrapAddr: written(REGISTRY_OPTIONS.httpBootstrapAddr),
  httpBootstrapUrl: written(REGISTRY_OPTIONS.httpBootstrapUrl),
  containerdSock: written(REGISTRY_OPTIONS.containerdSock),
} as const;

const NETWORK = 'Who may take part, one of these on a new host:';

/** Which hosts may take part in the network. */
const NETWORK_OPTIONS = {
  newNetworkKey: toggle({
    flag: '--new-network-key',
    env: undefined,
    group: NETWORK,
    help: 'hosts with the key of this one, which is made; the line for the other hosts is printed',
    fallback: 'false',
  }),
  networkKeyFile: optional({
    flag: '--network-key-file',
    placeholder: 'path',
    env: undefined,
    group: NETWORK,
    help: 'hosts with the key in this file (-: standard input), which is copied to /etc/spegel/network.key',
    parse: parsePathOrInput,
  }),
  openNetwork: toggle({
    flag: '--open-network',
    env: undefined,
    group: NETWORK,
    help: 'each host that reaches the ports, which gets every image that it can name',
    fallback: 'false',
  }),
} as const;

/** Options of `spegel install`. */
export const INSTALL_OPTIONS = {
  ...NETWORK_OPTIONS,
  ...WRITTEN_OPTIONS,
  start: toggle({
    flag: '--start',
    env: undefined,
    group: GENERAL_GROUP,
    help: 'start the service; false leaves that to the next boot',
    fallback: 'true',
  }),
  check: toggle({
    flag: '--check',
    env: undefined,
    group: GENERAL_GROUP,
    help: 'look at the host and write nothing; exit with 3 if anything is to do',
    fallback: 'false',
  }),
  json: JSON_OUTCOME,
} as const;

/** Options of `spegel uninstall`. */
export const UNINSTALL_OPTIONS = {
  purge: toggle({
    flag: '--purge',
    env: undefined,
    group: GENERAL_GROUP,
    help: "remove /var/lib/spegel too, with this host's identity, and the network's key",
    fallback: 'false',
  }),
  dryRun: toggle({
    flag: '--dry-run',
    env: undefined,
    group: GENERAL_GROUP,
    help: 'print what would go and what would stay, and change nothing',
    fallback: 'false',
  }),
  json: JSON_OUTCOME,
} as const;
