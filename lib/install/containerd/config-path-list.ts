import { advice, type Finding } from '../system/finding.ts';
import { ENVIRONMENT_FILE } from '../system/layout.ts';
import type { CriSettings } from './cri-settings.ts';

/**
 * Reports that config_path names several directories and Spegel knows fewer: a `_default` in one of
 * them may hide another.
 */
export function configPathListFindings(
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
