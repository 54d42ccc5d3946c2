/**
 * The text of systemd/spegel.env, from the tables of options. `node
 * scripts/write-environment-file.ts` writes the file.
 */
import type { EnvironmentHead } from '../../lib/install/settings/environment-edit.ts';
import { OPEN_NETWORK } from '../../lib/install/settings/network-decision.ts';
import { PROXY_NAMES } from '../../lib/proxy/go-proxy.ts';
import { quoted } from '../../lib/systemd/environment-syntax.ts';
import { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import type { OptionTable } from '../options/option.ts';
import { REGISTRY_OPTIONS } from '../options/registry-options.ts';

const HEAD = `\
# /etc/spegel/spegel.env: the options of spegel.service and spegel-configuration.service. Each is listed with its
# default; take away the # in front to change it, then 'systemctl restart spegel spegel-configuration'.
# REGISTRY_ADDR alone is changed by 'spegel install': systemd holds that port.
# 'spegel help registry' and 'spegel help configuration' say more. SPEGEL_ROUTER_ADDR wins over ROUTER_ADDR, and so on.
#
# Lists by space or comma. Text with a backslash, such as a regular expression, goes between single quotes.
# The services see neither /home nor /root, and write only /var/lib/spegel and /etc/containerd: other places need a
# drop-in ('systemctl edit') with ReadWritePaths=; for CONTAINERD_REGISTRY_CONFIG_PATH 'spegel install' writes it. It
# also has them see a file that is named here in a place that they do not see, such as /etc/ssl/private.
`;

/**
 * The head, and the digests of the heads of all releases. A change of the head adds the digest of
 * the new one.
 */
export const ENVIRONMENT_HEAD: EnvironmentHead = {
  text: HEAD,
  known: [
    '6a51cab4a35fe079d3edb40750d991499beb666e90f3ee3fc45284a46a9c0b15',
    'a085d2712e3934e9c6ee9a028ba900a91055e109530d2dc896c1709a5c4ecf2d',
    'be8598c79148859cd46ce0fa6c20c01d09fb1cd6356ef00cac2af32fd04a2178',
    '0f5613e1aff2f6ab61f517c1dfd59dd2d703f6cb4c6e6160ff37e4c92fed59f9',
    '1fc7718e2acb60fbb086caf63ce5876acbab93bb8c8afb502719f9700752c2d3',
    '4157b4e6429f548455794ca053b908aec0545abacf66b712ca8f63cdf6a79668',
    'cae1dba14595a917d5b3a3290bb8cecb1ab6ba143c7712cd06e471293a403526',
  ],
};

/**
 * For each option with a variable that `known` does not have: `# help` and `#NAME=default`, or the
 * value of `set`.
 */
function entries(table: OptionTable, known: OptionTable, set: Settings): string {
  let group = '';
  return Object.entries(table)
    .filter(([key, { env }]) => env !== undefined && !(key in known))
    .map(([, option]) => {
      const heading = option.group === group ? '' : `\n## ${option.group.replace(/:$/, '')}\n`;
      group = option.group;
      const given = set[option.env ?? ''];
      const value = given ? `${option.env}=${quoted(given)}` : unset(option);
      return `${heading}\n# ${option.help}\n${value}\n`;
    })
    .join('');
}

function unset({ env, fallback }: OptionTable[string]): string {
  return `#${env}=${quoted(fallback ?? '')}`;
}

/** These variables are no options: they belong to another program. */
function proxyEntries(set: Settings): string {
  const lines = PROXY_NAMES.map((name) => {
    const value = set[name];
    return value ? `${name}=${quoted(value)}` : `#${name}=`;
  });
  return `
## Proxy of containerd

# the proxy that containerd has, as 'spegel install' finds it: Spegel asks a registry by the same way whether it is there
# what containerd's process was started with wins over these lines; with a password only root is to read this file
${lines.join('\n')}
`;
}

function networkEntry({ [OPEN_NETWORK]: isOpen }: Settings): string {
  return `
## Open network

# true: nobody needs a key, and that is meant so ('spegel install --open-network'): a key file that is there does not count
${isOpen ? `${OPEN_NETWORK}=${quoted(isOpen)}` : `#${OPEN_NETWORK}=`}
`;
}

/** Values by the names of their variables. Empty means the default. */
export type Settings = Readonly<Record<string, string | undefined>>;

/** All options of both services: commented out with their defaults, or set to the given values. */
export function environmentFile(set: Settings = {}): string {
  return `${HEAD}${entries(REGISTRY_OPTIONS, {}, set)}${networkEntry(set)}${proxyEntries(set)}
# ---- spegel-configuration.service alone
${entries(CONFIGURATION_OPTIONS, REGISTRY_OPTIONS, set)}`;
}
