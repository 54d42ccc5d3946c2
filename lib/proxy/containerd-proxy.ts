import { PROXY_NAMES, proxyVariables, type Variables, withoutPassword } from './go-proxy.ts';

/** The proxy that this host's containerd uses, as far as it is known. */
export interface ContainerdProxy {
  /** HTTP_PROXY, HTTPS_PROXY and NO_PROXY, those that are not empty; the password is in them. */
  readonly environment: Readonly<Record<string, string>>;
  /** containerd is known to use none. False where nothing is known. */
  readonly isNone: boolean;
  /** For the log: `http://user:***@proxy:3128`, `none`, `unknown`. */
  readonly description: string;
  /**
   * The run of containerd of which that is known, empty where it is of none. Its next run may have
   * another proxy: what a look or a probe found in one run proves nothing about another.
   */
  readonly run: string;
}

/** Knows the proxy of containerd; it may be another one after containerd has been restarted. */
export interface ContainerdProxySource {
  containerdProxy(): ContainerdProxy;
}

export const UNKNOWN_PROXY: ContainerdProxy = {
  environment: {},
  isNone: false,
  description: 'unknown',
  run: '',
};

/** The proxy of a program whose whole environment this is. */
export function proxyOf(environment: Variables, run = ''): ContainerdProxy {
  const { http, https, no } = proxyVariables(environment);
  if (http === '' && https === '') {
    return { environment: {}, isNone: true, description: 'none', run };
  }
  const all = { HTTP_PROXY: http, HTTPS_PROXY: https, NO_PROXY: no };
  const set = Object.entries(all).filter(([, value]) => value !== '');
  return { environment: Object.fromEntries(set), isNone: false, description: describe(all), run };
}

/**
 * What is still known in this run of containerd: that there is no proxy was true of another one.
 */
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

/** The variables by which a look at containerd's process is handed on. */
export function seenVariables({ run, environment }: ContainerdProxy): Record<string, string> {
  const seen = PROXY_NAMES.map((name) => [seenName(name), environment[name] ?? '']);
  return { [RUN]: run, ...Object.fromEntries(seen) };
}

/**
 * The proxy that these variables note: what was seen of a run of containerd, or else what an
 * administrator wrote. That there is none has to be seen: what was written is true until
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
