import { join } from 'node:path';
import type { CriSettings } from './cri-settings.ts';
import { advice, type Finding } from './finding.ts';
import { ENVIRONMENT_FILE } from './layout.ts';

/**
 * A config_path with several directories that Spegel is not told of, or that containerd itself takes
 * for one: from 2.1 on its transfer service does (seen on 2.1.9 and 2.4.2), and reads no hosts.toml.
 */
export function listFindings(
  { configPath, isLocalPull, transferConfigPath }: CriSettings,
  hostsPaths: readonly string[],
  source: string,
): Finding[] {
  const listed = configPath.split(':');
  if (listed.length === 1) return [];
  const isTransfer = transferConfigPath !== undefined && !isLocalPull;
  if (isTransfer) {
    const text = `expected config_path to be one directory, or use_local_image_pull, got '${configPath}' (${source}): the transfer service of containerd takes that for one directory, and no pull reads a hosts.toml`;
    return [
      advice('config_path', text, [
        '[plugins."io.containerd.cri.v1.images"]',
        '  use_local_image_pull = true',
        'systemctl restart containerd',
      ]),
    ];
  }
  if (listed.join(':') === hostsPaths.join(':')) return [];
  const text = `expected CONTAINERD_REGISTRY_CONFIG_PATH to be containerd's config_path, ${configPath} (${source}), got ${hostsPaths.join(':')}; a _default in one of them may hide another; in ${ENVIRONMENT_FILE}`;
  return [
    advice('hosts-paths', text, [
      `CONTAINERD_REGISTRY_CONFIG_PATH=${configPath}`,
      '# then:',
      'spegel install && systemctl restart spegel spegel-configuration',
    ]),
  ];
}

/**
 * The list that containerd has where Spegel was told nothing and its own directory is in that list;
 * undefined: what Spegel has is to stay.
 */
export function listToTake(
  { configPath }: CriSettings,
  hostsPaths: readonly string[],
): readonly string[] | undefined {
  const listed = configPath.split(':').map((path) => join(path));
  const isList = listed.length > 1 && listed.every((path) => path.startsWith('/'));
  const isOurs = hostsPaths.every((path) => listed.includes(path));
  const isPlain = new Set(listed).size === listed.length;
  return isList && isOurs && isPlain ? listed : undefined;
}
