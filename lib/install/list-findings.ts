import { join } from 'node:path';
import type { CriSettings } from './cri-settings.ts';
import { advice, type Finding } from './finding.ts';
import { ENVIRONMENT_FILE } from './layout.ts';

/**
 * A config_path with several directories that Spegel is not told of: a `_default` in one may hide
 * another.
 */
export function listFindings(
  { configPath }: CriSettings,
  hostsPaths: readonly string[],
  source: string,
): Finding[] {
  const listed = configPath.split(':');
  if (listed.length === 1 || listed.join(':') === hostsPaths.join(':')) return [];
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
  { configPath }: Pick<CriSettings, 'configPath'>,
  hostsPaths: readonly string[],
): readonly string[] | undefined {
  const listed = configPath.split(':').map((path) => join(path));
  const isList = listed.length > 1 && listed.every((path) => path.startsWith('/'));
  const isOurs = hostsPaths.every((path) => listed.includes(path));
  const isPlain = new Set(listed).size === listed.length;
  return isList && isOurs && isPlain ? listed : undefined;
}
