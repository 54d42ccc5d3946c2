import { JSON_OUTCOME } from './common-options.ts';
import { optional } from './option.ts';
import { parseFingerprint, parsePath, parsePathOrInput } from './values.ts';

const KEY = 'Key:';

/** Options of `spegel key`. */
export const KEY_OPTIONS = {
  networkKeyFile: optional({
    flag: '--network-key-file',
    placeholder: 'path',
    group: KEY,
    help: 'the file that is shown or changed; that of spegel.env unless given, or /etc/spegel/network.key',
    emptyCounts: true,
    parse: parsePath,
  }),
  from: optional({
    flag: '--from',
    placeholder: 'path',
    env: undefined,
    group: KEY,
    help: 'of add: the key file of another host (-: standard input); its further key becomes the second key of this host',
    parse: parsePathOrInput,
  }),
  key: optional({
    flag: '--key',
    placeholder: 'fingerprint',
    env: undefined,
    group: KEY,
    help: 'of use and remove: which key, by the fingerprint that show and the log have',
    parse: parseFingerprint,
  }),
  json: JSON_OUTCOME,
} as const;
