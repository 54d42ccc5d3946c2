/**
 * What stands in a certs.d, and where containerd asks for a tag then: held against our reading in process
 * (registry-endpoints.test.ts) and against real containerd (hosts-toml-read.test.ts, in e2e/).
 */
import { DIRECTORIES, DOCUMENTED, FORMS, SERVERS } from './endpoint-file-rows.ts';
import { CAPABILITIES, HEADERS, OVERRIDDEN, PATHS, URLS } from './endpoint-host-rows.ts';
import type { EndpointRow } from './endpoint-row.ts';
import { LOCAL, TLS, TLS_OVER_HTTP } from './endpoint-tls-rows.ts';

export const ENDPOINT_ROWS: readonly EndpointRow[] = [
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
