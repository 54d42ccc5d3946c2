import { existsSync, readFileSync } from 'node:fs';
import { PROXY_NAMES, type Variables } from '../../proxy/go-proxy.ts';
import { withPathInErrors } from '../system/files.ts';
import { type Finding, note } from '../system/finding.ts';
import { ENVIRONMENT_FILE } from '../system/layout.ts';
import { OPEN_NETWORK } from './network-decision.ts';

export interface EnvironmentSettings {
  /** The text that a new file would have now. */
  readonly fresh: string;
  /** The settings of the command line. */
  readonly settingsToWrite: Variables;
}

const KEPT = `the settings in ${ENVIRONMENT_FILE} are kept`;
const PEERS = 'STATIC_BOOTSTRAP_PEERS';

/**
 * What to say of the environment file. An existing file belongs to the administrator, and is kept.
 */
export function environmentAdvice({ fresh, settingsToWrite }: EnvironmentSettings): Finding[] {
  if (!existsSync(ENVIRONMENT_FILE)) return peerNotes(settingsToWrite);
  const text = withPathInErrors(ENVIRONMENT_FILE, () => readFileSync(ENVIRONMENT_FILE, 'utf8'));
  return newOptionNotes(text, fresh);
}

function peerNotes(settingsToWrite: Variables): Finding[] {
  // The host finds peers in another way than `static`, or by a file.
  const ways = [PEERS, `${PEERS}_FILE`, 'BOOTSTRAP_KIND'];
  if (ways.some((name) => settingsToWrite[name] !== undefined)) return [];
  const text =
    'no --static-bootstrap-peers: this host meets others only when they name it; to name some, spegel install --static-bootstrap-peers=…';
  return [note('peers', text)];
}

/**
 * Options that are newer than the file. A file that names only a few options was written by hand:
 * then its gaps mean nothing.
 */
function newOptionNotes(text: string, fresh: string): Finding[] {
  const namesIn = (lines: string) =>
    new Set([...lines.matchAll(/^#?(?:SPEGEL_)?([A-Z][A-Z_]*)=/gm)].map(([, name = '']) => name));
  // Other findings are about the proxy and the network.
  const others = [...PROXY_NAMES, OPEN_NETWORK].map((name) => `${name}=`);
  const known = namesIn([text, ...others].join('\n'));
  const all = namesIn(fresh);
  const news = [...all].filter((name) => !known.has(name));
  if (news.length === 0 || news.length > all.size / 2) return [];
  return [
    note('options', `${KEPT}; it does not name ${news.join(', ')}: they have their defaults`),
  ];
}
