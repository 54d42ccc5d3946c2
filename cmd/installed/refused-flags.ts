import { type Finding, flagOf, obstacle } from '../../lib/install/system/finding.ts';
import { ENVIRONMENT_FILE } from '../../lib/install/system/layout.ts';
import type { Environment } from '../options/option.ts';

/**
 * Findings about wrong settings, with the flags that brought them: the file is unchanged, and only
 * the call has to be corrected. `before`: the findings without these flags.
 */
export function withRefusedFlags(
  findings: readonly Finding[],
  before: readonly Finding[],
  flagSettings: Environment,
): Finding[] {
  const flags = Object.entries(flagSettings).map(
    ([name, value]) => `${flagOf(name.replace(/^SPEGEL_/, ''))}=${value}`,
  );
  const known = new Set(before.map(({ message }) => message));
  return findings.map((finding) => {
    const { kind, about, message } = finding;
    const isNew = kind === 'obstacle' && about === 'settings' && !known.has(message);
    if (flags.length === 0 || !isNew) return finding;
    const text = message.replace(`${ENVIRONMENT_FILE}: `, '').replace(/; correct it$/, '');
    return obstacle(about, `${text}; that comes of ${flags.join(' ')}: call it with other flags`);
  });
}
