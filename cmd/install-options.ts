import { list, optional, toggle } from './option.ts';
import { GENERAL_GROUP, JSON_OUTCOME } from './options.ts';
import { parseSocketPath } from './values.ts';

/** Options of `spegel install`. */
export const INSTALL_OPTIONS = {
  staticBootstrapPeers: list({
    flag: '--static-bootstrap-peers',
    env: undefined,
    placeholder: 'peer',
    group: GENERAL_GROUP,
    help: 'first peers, written to /etc/spegel/spegel.env when that is made',
    parse: (text) => text,
  }),
  containerdSock: optional({
    flag: '--containerd-sock',
    env: undefined,
    placeholder: 'path',
    group: GENERAL_GROUP,
    help: "containerd's gRPC socket, written to /etc/spegel/spegel.env when that is made",
    parse: parseSocketPath,
  }),
  start: toggle({
    flag: '--start',
    env: undefined,
    group: GENERAL_GROUP,
    help: 'start the service; false leaves that to the next boot',
    fallback: 'true',
  }),
  check: toggle({
    flag: '--check',
    env: undefined,
    group: GENERAL_GROUP,
    help: 'look at the host and write nothing; exit with 3 if anything is to do',
    fallback: 'false',
  }),
  json: JSON_OUTCOME,
} as const;

/** Options of `spegel uninstall`. */
export const UNINSTALL_OPTIONS = {
  purge: toggle({
    flag: '--purge',
    env: undefined,
    group: GENERAL_GROUP,
    help: "remove /var/lib/spegel too, with this host's identity",
    fallback: 'false',
  }),
  json: JSON_OUTCOME,
} as const;
