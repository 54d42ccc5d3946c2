import { proxyVariables, type Variables, withoutPassword } from './go-proxy.ts';

/** The proxy that this host's containerd uses, as far as it is known. */
export interface ContainerdProxy {
  /** HTTP_PROXY, HTTPS_PROXY and NO_PROXY, those that are not empty; the password is in them. */
  readonly environment: Readonly<Record<string, string>>;
  /** containerd is known to use none. False where nothing is known. */
  readonly isNone: boolean;
  /** For the log: `http://user:***@proxy:3128`, `none`, `unknown`. */
  readonly description: string;
}

/** Knows the proxy of containerd; it may be another one after containerd has been restarted. */
export interface ContainerdProxySource {
  containerdProxy(): ContainerdProxy;
}

export const UNKNOWN_PROXY: ContainerdProxy = {
  environment: {},
  isNone: false,
  description: 'unknown',
};

/** The proxy of a program whose whole environment this is. */
export function proxyOf(environment: Variables): ContainerdProxy {
  const { http, https, no } = proxyVariables(environment);
  if (http === '' && https === '') return { environment: {}, isNone: true, description: 'none' };
  const all = { HTTP_PROXY: http, HTTPS_PROXY: https, NO_PROXY: no };
  const set = Object.entries(all).filter(([, value]) => value !== '');
  return { environment: Object.fromEntries(set), isNone: false, description: describe(all) };
}

/**
 * The proxy that these variables note: HTTP_PROXY and HTTPS_PROXY that are there and empty say that
 * containerd is known to have none; absent, nothing is known.
 */
export function notedProxy(environment: Variables): ContainerdProxy {
  const isNoted = (name: string) =>
    environment[name] !== undefined || environment[name.toLowerCase()] !== undefined;
  const proxy = proxyOf(environment);
  return proxy.isNone && !(isNoted('HTTP_PROXY') && isNoted('HTTPS_PROXY')) ? UNKNOWN_PROXY : proxy;
}

function describe({ HTTP_PROXY: http, HTTPS_PROXY: https }: Record<string, string>): string {
  const [a, b] = [http, https].map((text) => (text ? withoutPassword(text) : 'none'));
  return a === b ? `${a}` : `http: ${a}, https: ${b}`;
}
