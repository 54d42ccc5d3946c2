/** The text of systemd/spegel.env, out of the option tables: `node test/support/write-environment-file.ts` writes it there. */
import { PROXY_NAMES } from '../lib/base/go-proxy.ts';
import { CONFIGURATION_OPTIONS } from './hosts-options.ts';
import type { OptionTable } from './option.ts';
import { REGISTRY_OPTIONS } from './options.ts';

const HEAD = `\
# /etc/spegel/spegel.env: the options of spegel.service and spegel-configuration.service. Each is listed with its
# default; take away the # in front to change it, then 'systemctl restart spegel spegel-configuration'.
# REGISTRY_ADDR alone is changed by 'spegel install': systemd holds that port.
# 'spegel help registry' and 'spegel help configuration' say more. SPEGEL_ROUTER_ADDR wins over ROUTER_ADDR, and so on.
#
# Lists by space or comma. Text with a backslash, such as a regular expression, goes between single quotes.
# The services see neither /home nor /root, and write only /var/lib/spegel and /etc/containerd: other places need a
# drop-in ('systemctl edit') with ReadWritePaths=; for CONTAINERD_REGISTRY_CONFIG_PATH 'spegel install' writes it.
`;

/** One `# help`, `#NAME=default` for each option that has a variable and is not in `known`; those in `set` in force. */
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

/** A value as it has to stand in the file: systemd takes away one pair of quotes, and backslashes outside of '…'. */
export function quoted(text: string): string {
  if (!/[\\\s'"]/.test(text)) return text;
  return text.includes("'") ? `"${text.replaceAll(/[\\"]/g, '\\$&')}"` : `'${text}'`;
}

/** They are no options, but another program's. */
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

/** Values by the names of their variables; empty: as the default. */
export type Settings = Readonly<Record<string, string | undefined>>;

/** All options of both services, each commented out with its default, or set as given. */
export function environmentFile(set: Settings = {}): string {
  return `${HEAD}${entries(REGISTRY_OPTIONS, {}, set)}${proxyEntries(set)}
# ---- spegel-configuration.service alone
${entries(CONFIGURATION_OPTIONS, REGISTRY_OPTIONS, set)}`;
}
