import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';

/** Environment variables by name; undefined: not set. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** The names that Go reads, each also in lower case. It does not read ALL_PROXY. */
export const PROXY_NAMES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'] as const;

/** The values that a Go program takes from its environment. Empty: none. */
export interface ProxyVariables {
  readonly http: string;
  readonly https: string;
  readonly no: string;
}

/** The way of a Go program to a URL. */
export type Route =
  | { readonly kind: 'direct' }
  /** `proxyEnv` is for a Node Agent that makes this one request. It includes the password. */
  | { readonly kind: 'proxy'; readonly proxyEnv: Readonly<Record<string, string>> }
  /**
   * Node cannot speak to this proxy, or no program can. A request that goes another way proves
   * nothing about it.
   */
  | { readonly kind: 'unusable' };

/** The upper case name counts first; an empty value counts as none (Go, ProxyFromEnvironment). */
export function proxyVariables(environment: Variables): ProxyVariables {
  const any = (name: string) => environment[name] || environment[name.toLowerCase()] || '';
  return { http: any('HTTP_PROXY'), https: any('HTTPS_PROXY'), no: any('NO_PROXY') };
}

/**
 * The way to an http or https URL by the rules of golang.org/x/net/http/httpproxy, which containerd
 * follows. Node reads NO_PROXY differently: it has no networks and no names below a domain, and
 * sends requests for the loopback to the proxy.
 */
export function routeOf(url: URL, environment: Variables): Route {
  const { http, https, no } = proxyVariables(environment);
  const text = url.protocol === 'https:' ? https : http;
  if (text === '' || isExcepted(url, no)) return { kind: 'direct' };
  const proxy = parseProxy(text);
  if (proxy === undefined || !/^https?:$/.test(proxy.protocol)) return { kind: 'unusable' };
  return { kind: 'proxy', proxyEnv: { HTTP_PROXY: proxy.href, HTTPS_PROXY: proxy.href } };
}

/**
 * A proxy's URL for people: `http://user:***@proxy:3128`. Text that is no URL may hold a password:
 * it becomes `unreadable`.
 */
export function withoutPassword(text: string): string {
  const url = parseProxy(text);
  if (url === undefined) return 'unreadable';
  const { protocol, username, password, host } = url;
  const user = username === '' && password === '' ? '' : `${username}${password && ':***'}@`;
  return `${protocol}//${user}${host}`;
}

/** True when one of these variables may hold a password. */
export function hasPassword(environment: Variables): boolean {
  const { http, https } = proxyVariables(environment);
  return [http, https].some((proxy) => proxy.includes('@'));
}

/**
 * A proxy's URL; `host:port` means http. Undefined for text that Go or Node would take for another
 * proxy than its writer meant.
 */
export function parseProxy(text: string): URL | undefined {
  if (/[\s\\]/.test(text)) return undefined;
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  return url === null || url.host === '' || !isDecodable(url) ? undefined : url;
}

/** False for a login with a stray `%`: Node accepts the URL, and throws when it uses it. */
function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

/** True when Go asks a URL without a proxy: it means this host, or the list `no` names it. */
function isExcepted(url: URL, no: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  if (host === 'localhost' || isInside(host, LOOPBACK)) return true;
  const entries = no.split(',').map((entry) => entry.trim().toLowerCase());
  return entries.some((entry) => entry === '*' || matches(entry, host, port));
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

function matches(entry: string, host: string, port: string): boolean {
  const network = networkOf(entry);
  if (network !== undefined) return isInside(host, network);
  const [, bracketed, plain, only = ''] = /^(?:\[([^[\]]+)\]|([^:[\]]+)):(\d*)$/.exec(entry) ?? [];
  const name = bracketed ?? plain ?? entry;
  if (only !== '' && only !== port) return false;
  const address = networkOf(`${name}/${isIP(name) === 6 ? 128 : 32}`);
  if (address !== undefined) return isInside(host, address);
  return isBelow(host, name.replace(/^\*\./, '.'));
}

/** `foo.com` matches that name and all names below it; `.foo.com` only those below it. */
function isBelow(host: string, name: string): boolean {
  const isDotted = name.startsWith('.');
  const bare = isDotted ? name.slice(1) : name;
  // Not for a name in ASCII: domainToASCII cuts `10.0.0.0/33` at the slash.
  const ascii = /[^\0-\x7f]/.test(bare) ? domainToASCII(bare) || bare : bare;
  if (ascii === '' || ascii === '.') return false;
  return host.endsWith(`.${ascii}`) || (!isDotted && host === ascii);
}

/** The addresses of `10.0.0.0/8` or `fd00::/8`; undefined for anything else. */
function networkOf(text: string): BlockList | undefined {
  const [, address = '', bits = ''] = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(text) ?? [];
  const family = isIP(address);
  if (family === 0 || Number(bits) > (family === 4 ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6');
  return list;
}

function isInside(host: string, list: BlockList): boolean {
  const family = isIP(host);
  return family !== 0 && list.check(host, family === 4 ? 'ipv4' : 'ipv6');
}
