import { type Finding, flagOf, obstacle } from '../../lib/install/system/finding.ts';
import { ENVIRONMENT_FILE } from '../../lib/install/system/layout.ts';
import type { Environment } from '../options/option.ts';

/**
 * Findings about wrong settings, with the flags that brought them: those that a finding names, or
 * all if it names none. The file is unchanged, and only the call has to be corrected. `before`: the
 * findings without these flags.
 */
export function withRefusedFlags(
  findings: readonly Finding[],
  before: readonly Finding[],
  flagSettings: Environment,
): Finding[] {
  const flags = Object.entries(flagSettings).map(([name, value]) => {
    const variable = name.replace(/^SPEGEL_/, '');
    const flag = flagOf(variable);
    const named = new RegExp(`(?<![\\w-])(?:(?:SPEGEL_)?${variable}|${flag})(?![\\w-])`);
    return { text: `${flag}=${value}`, isIn: (message: string) => named.test(message) };
  });
  const known = new Set(before.map(({ message }) => message));
  return findings.map((finding) => {
    const { kind, about, message } = finding;
    const isNew = kind === 'obstacle' && about === 'settings' && !known.has(message);
    if (flags.length === 0 || !isNew) return finding;
    const named = flags.filter(({ isIn }) => isIn(message));
    const causes = (named.length > 0 ? named : flags).map((flag) => flag.text).join(' ');
    const text = message.replace(`${ENVIRONMENT_FILE}: `, '').replace(/; correct it$/, '');
    return obstacle(about, `${text}; that comes of ${causes}: call it with other flags`);
  });
}
