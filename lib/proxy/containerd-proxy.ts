import { PROXY_NAMES, proxyVariables, type Variables, withoutPassword } from './go-proxy.ts';

/** What is known of the proxy that this host's containerd uses. */
export interface ContainerdProxy {
  /** HTTP_PROXY, HTTPS_PROXY and NO_PROXY, where they are not empty, passwords included. */
  readonly environment: Readonly<Record<string, string>>;
  /** True when containerd is known to use none; false where nothing is known. */
  readonly isNone: boolean;
  /** For the log: `http://user:***@proxy:3128`, `none`, `unknown`. */
  readonly description: string;
  /**
   * The run of containerd in which this was seen; empty: in none. The next run may have another
   * proxy, so a finding of one run proves nothing about another.
   */
  readonly run: string;
}

/** Knows the proxy of containerd, which may be another one after a restart of containerd. */
export interface ContainerdProxySource {
  containerdProxy(): ContainerdProxy;
}

export const UNKNOWN_PROXY: ContainerdProxy = {
  environment: {},
  isNone: false,
  description: 'unknown',
  run: '',
};

/** The proxy of a program with this whole environment. */
export function proxyOf(environment: Variables, run = ''): ContainerdProxy {
  const { http, https, no } = proxyVariables(environment);
  if (http === '' && https === '') {
    return { environment: {}, isNone: true, description: 'none', run };
  }
  const all = { HTTP_PROXY: http, HTTPS_PROXY: https, NO_PROXY: no };
  const set = Object.entries(all).filter(([, value]) => value !== '');
  return { environment: Object.fromEntries(set), isNone: false, description: describe(all), run };
}

/** What still counts in another run of containerd: a proxy does, but not that there is none. */
export function inRun(proxy: ContainerdProxy, run: string): ContainerdProxy {
  if (proxy.run === run) return proxy;
  return { ...(proxy.isNone ? UNKNOWN_PROXY : proxy), run };
}

const RUN = 'CONTAINERD_RUN';
const seenName = (name: string) => `CONTAINERD_${name}`;

/** The variables that `notedProxy` reads. */
export const NOTED_NAMES: readonly string[] = [
  ...PROXY_NAMES.flatMap((name) => [name, name.toLowerCase()]),
  RUN,
  ...PROXY_NAMES.map(seenName),
];

/** The variables that hand on what was seen of containerd's process. */
export function seenVariables({ run, environment }: ContainerdProxy): Record<string, string> {
  const seen = PROXY_NAMES.map((name) => [seenName(name), environment[name] ?? '']);
  return { [RUN]: run, ...Object.fromEntries(seen) };
}

/**
 * The proxy in these variables: what was seen of a run of containerd, or else what an administrator
 * wrote. That there is no proxy counts only when it was seen: what was written may change with
 * containerd's next start.
 */
export function notedProxy(environment: Variables): ContainerdProxy {
  const { [RUN]: run = '' } = environment;
  if (run !== '') {
    const seen = PROXY_NAMES.map((name) => [name, environment[seenName(name)]]);
    return proxyOf(Object.fromEntries(seen), run);
  }
  const written = proxyOf(environment);
  return written.isNone ? UNKNOWN_PROXY : written;
}

function describe({ HTTP_PROXY: http, HTTPS_PROXY: https }: Record<string, string>): string {
  const [a, b] = [http, https].map((text) => (text ? withoutPassword(text) : 'none'));
  return a === b ? `${a}` : `http: ${a}, https: ${b}`;
}
