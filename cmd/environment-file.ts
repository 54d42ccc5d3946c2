/** The text of systemd/spegel.env, out of the option tables: `node test/support/environment-file.ts >systemd/spegel.env` */
import { CONFIGURATION_OPTIONS } from '../../cmd/hosts-options.ts';
import type { OptionTable } from '../../cmd/option.ts';
import { REGISTRY_OPTIONS } from '../../cmd/options.ts';

const HEAD = `\
# /etc/spegel/spegel.env: the options of spegel.service and spegel-configuration.service. Each is listed with its
# default; take away the # in front to change it, then 'systemctl restart spegel spegel-configuration'.
# 'spegel help registry' and 'spegel help configuration' say more.
#
# Lists by space or comma. Text with a backslash, such as a regular expression, goes between single quotes.
# Who changes the port in REGISTRY_ADDR changes it in MIRROR_TARGETS, too. The services see neither /home nor /root,
# and write only /var/lib/spegel and /etc/containerd: other places need a drop-in ('systemctl edit') with ReadWritePaths=.
`;

/** One `# help`, `#NAME=default` for each option that has a variable and is not in `known`. */
function entries(table: OptionTable, known: OptionTable): string {
  let group = '';
  return Object.entries(table)
    .filter(([key, { env }]) => env !== undefined && !(key in known))
    .map(([, option]) => {
      const heading = option.group === group ? '' : `\n## ${option.group.replace(/:$/, '')}\n`;
      group = option.group;
      return `${heading}\n# ${option.help}\n#${option.env}=${quoted(option.fallback ?? '')}\n`;
    })
    .join('');
}

function quoted(text: string): string {
  return /[\\\s'"]/.test(text) ? `'${text}'` : text;
}

export function environmentFile(): string {
  return `${HEAD}${entries(REGISTRY_OPTIONS, {})}
# ---- spegel-configuration.service alone
${entries(CONFIGURATION_OPTIONS, REGISTRY_OPTIONS)}`;
}

if (import.meta.main) process.stdout.write(environmentFile());
