import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { SpegelError } from '../../base/errors.ts';
import type { Variables } from '../../proxy/go-proxy.ts';
import { type InstallFile, withPathInErrors } from '../system/files.ts';
import { ENVIRONMENT_FILE } from '../system/layout.ts';
import {
  type EnvironmentEdit,
  type EnvironmentHead,
  editedEnvironment,
  withHead,
} from './environment-edit.ts';

const NO_TEXT = `${ENVIRONMENT_FILE}: expected UTF-8, got other bytes, which would not survive a change; change it by hand`;

export interface KeptEnvironment {
  readonly file: InstallFile;
  readonly edits: readonly EnvironmentEdit[];
}

/**
 * The existing environment file with these settings and the head of this release. Owner, mode and
 * all other bytes stay. Undefined: there is no file. Throws SpegelError ERR_INSTALL.
 */
export function keptEnvironment(
  settingsToWrite: Variables,
  head: EnvironmentHead,
): KeptEnvironment | undefined {
  if (!existsSync(ENVIRONMENT_FILE)) return undefined;
  return withPathInErrors(ENVIRONMENT_FILE, () => {
    // A link that configuration management has made stays a link.
    const path = realpathSync(ENVIRONMENT_FILE);
    const { mode, uid, gid } = statSync(path);
    const bytes = readFileSync(path);
    const was = bytes.toString();
    const { text, edits } = editedEnvironment(was, settingsToWrite);
    const isText = Buffer.from(was).equals(bytes);
    if (!isText && edits.length > 0) throw new SpegelError('ERR_INSTALL', NO_TEXT);
    const content = isText ? withHead(text, head) : was;
    return { file: { path, mode: mode & 0o7777, content, owner: { uid, gid } }, edits };
  });
}
