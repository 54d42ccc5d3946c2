/** Rows about which directory of a certs.d, or of several, is a registry's. */
import { type EndpointRow, EVERY, ITSELF, PLAIN, PLAIN_2, REG } from './endpoint-row.ts';
import { directory, file, link } from './tree.ts';

export const DIRECTORIES: readonly EndpointRow[] = [
  { name: 'nothing at all', registry: REG, files: {}, asks: [ITSELF] },
  {
    name: 'Docker Hub has another name in references',
    registry: 'docker.io',
    files: {},
    asks: ['https://registry-1.docker.io/v2'],
  },
  {
    name: 'Docker Hub under its own name is another host (docs: Simple Host Config for Docker)',
    registry: 'docker.io',
    files: {
      'docker.io/hosts.toml': file(
        'server = "https://docker.io"\n\n[host."https://registry-1.docker.io"]\n  capabilities = ["pull", "resolve"]\n',
      ),
    },
    asks: ['https://registry-1.docker.io/v2', 'https://docker.io/v2'],
  },
  {
    name: '_default is for registries without a directory (docs: Default Mirror)',
    registry: REG,
    files: {
      'other.test/hosts.toml': file(`[host."${PLAIN_2}"]`),
      '_default/hosts.toml': file(`[host."${PLAIN}"]\n  capabilities = ["pull", "resolve"]\n`),
    },
    asks: [`${PLAIN}/v2 ns`, ITSELF],
  },
  {
    name: 'a link to a directory; one that leads nowhere is none',
    registry: 'reg.test:5443',
    files: {
      'reg.test_5443_': link('nowhere'),
      'reg.test:5443': link('real'),
      'real/hosts.toml': file(`[host."${PLAIN}"]`),
    },
    asks: [`${PLAIN}/v2 ns`, 'https://reg.test:5443/v2'],
  },
  {
    name: 'a directory without a hosts.toml hides _default',
    registry: REG,
    files: { 'reg.test': directory(), '_default/hosts.toml': file(`[host."${PLAIN}"]`) },
    asks: [ITSELF],
  },
  {
    name: 'host_port_ comes before host:port',
    registry: 'reg.test:5443',
    files: {
      'reg.test_5443_/hosts.toml': file(`[host."${PLAIN}"]`),
      'reg.test:5443/hosts.toml': file(`[host."${PLAIN_2}"]`),
    },
    asks: [`${PLAIN}/v2 ns`, 'https://reg.test:5443/v2'],
  },
  {
    name: 'host:port alone; the host without its port is another registry',
    registry: 'reg.test:5443',
    files: {
      'reg.test/hosts.toml': file(`[host."${PLAIN}"]`),
      'reg.test:5443/hosts.toml': file(`[host."${PLAIN_2}"]`),
    },
    asks: [`${PLAIN_2}/v2 ns`, 'https://reg.test:5443/v2'],
  },
  {
    name: 'a file in place of the directory: containerd fails, we ask the registry',
    registry: REG,
    files: { 'reg.test': file('') },
    asks: [ITSELF],
    lacks: EVERY,
  },
  {
    name: 'a directory in place of the file: likewise',
    registry: REG,
    files: { 'reg.test/hosts.toml': directory() },
    asks: [ITSELF],
    lacks: EVERY,
  },
];

/** Below a config_path of two directories, `first` and `second`. */
export const SEVERAL: readonly EndpointRow[] = [
  {
    name: 'several directories: nothing in either',
    registry: REG,
    files: { first: directory() },
    asks: [ITSELF],
  },
  {
    name: 'several directories: the first that has the registry',
    registry: REG,
    files: {
      'first/reg.test/hosts.toml': file(`[host."${PLAIN}"]`),
      'second/reg.test/hosts.toml': file(`[host."${PLAIN_2}"]`),
    },
    asks: [`${PLAIN}/v2 ns`, ITSELF],
  },
  {
    name: 'several directories: the second where the first has nothing for it',
    registry: 'reg.test:5443',
    files: {
      'first/reg.test/hosts.toml': file(`[host."${PLAIN}"]`),
      'second/reg.test:5443/hosts.toml': file(`[host."${PLAIN_2}"]`),
    },
    asks: [`${PLAIN_2}/v2 ns`, 'https://reg.test:5443/v2'],
  },
  {
    name: 'several directories: the second where there is no first',
    registry: REG,
    files: { 'second/_default/hosts.toml': file(`[host."${PLAIN_2}"]`) },
    asks: [`${PLAIN_2}/v2 ns`, ITSELF],
  },
  {
    name: "several directories: the first's _default hides the second",
    registry: REG,
    files: {
      'first/_default/hosts.toml': file(`[host."${PLAIN}"]`),
      'second/reg.test/hosts.toml': file(`[host."${PLAIN_2}"]`),
    },
    asks: [`${PLAIN}/v2 ns`, ITSELF],
  },
  {
    name: 'several directories: a file in place of the first: containerd fails, we ask the registry',
    registry: REG,
    files: { first: file(''), 'second/reg.test/hosts.toml': file(`[host."${PLAIN_2}"]`) },
    asks: [ITSELF],
    lacks: EVERY,
  },
];
