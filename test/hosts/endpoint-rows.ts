/**
 * What stands in a certs.d, and where containerd asks for a tag then: held against our reading in
 * process (registry-endpoints.test.ts) and against real containerd (hosts-toml-read.test.ts, in
 * e2e/).
 */
import { DIRECTORIES, SEVERAL } from './endpoint-directory-rows.ts';
import { DOCUMENTED, FORMS, SERVERS } from './endpoint-file-rows.ts';
import { CAPABILITIES, HEADERS, OVERRIDDEN, PATHS, URLS } from './endpoint-host-rows.ts';
import type { EndpointRow } from './endpoint-row.ts';
import { LOCAL, TLS, TLS_OVER_HTTP } from './endpoint-tls-rows.ts';

export interface EndpointTable {
  /** Of small letters. */
  readonly name: string;
  /**
   * The directories of containerd's config_path, below the rows' files; empty for the files' own.
   */
  readonly roots: readonly string[];
  readonly rows: readonly EndpointRow[];
}

const ROWS: readonly EndpointRow[] = [
  ...DIRECTORIES,
  ...SERVERS,
  ...CAPABILITIES,
  ...PATHS,
  ...OVERRIDDEN,
  ...URLS,
  ...TLS,
  ...TLS_OVER_HTTP,
  ...LOCAL,
  ...HEADERS,
  ...FORMS,
  ...DOCUMENTED,
];

export const ENDPOINT_TABLES: readonly EndpointTable[] = [
  { name: 'one', roots: [''], rows: ROWS },
  { name: 'several', roots: ['first', 'second'], rows: SEVERAL },
];
