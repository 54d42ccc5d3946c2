import { BlockList, isIP } from 'node:net';
import { domainToASCII } from 'node:url';

/** Variables by their names; undefined: not set. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** The names that Go reads; each in lower case, too. ALL_PROXY is not among them. */
export const PROXY_NAMES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'] as const;

/** The variables that name a proxy, as one program of Go takes them. Empty: none. */
export interface ProxyVariables {
  readonly http: string;
  readonly https: string;
  readonly no: string;
}

/** How a program of Go comes to a URL. */
export type Route =
  | { readonly kind: 'direct' }
  /** `proxyEnv` is for an Agent of Node that makes this one request. It has the password. */
  | { readonly kind: 'proxy'; readonly proxyEnv: Readonly<Record<string, string>> }
  /**
   * Node cannot speak to this proxy, or nobody can: what a request by another way says proves
   * nothing.
   */
  | { readonly kind: 'unusable' };

/** The upper case name first, and an empty one is as none: net/http, ProxyFromEnvironment. */
export function proxyVariables(environment: Variables): ProxyVariables {
  const any = (name: string) => environment[name] || environment[name.toLowerCase()] || '';
  return { http: any('HTTP_PROXY'), https: any('HTTPS_PROXY'), no: any('NO_PROXY') };
}

/**
 * The way to an http or https URL by the rules of golang.org/x/net/http/httpproxy, which containerd
 * follows. Node's own reading of NO_PROXY knows neither networks nor the names below a domain, and
 * sends loopback to the proxy.
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
 * A proxy's URL for people, `http://user:***@proxy:3128`; `unreadable` for what is no URL: it may
 * hold a password.
 */
export function withoutPassword(text: string): string {
  const url = parseProxy(text);
  if (url === undefined) return 'unreadable';
  const { protocol, username, password, host } = url;
  const user = username === '' && password === '' ? '' : `${username}${password && ':***'}@`;
  return `${protocol}//${user}${host}`;
}

/** Whether one of these variables may hold a password. */
export function hasPassword(environment: Variables): boolean {
  const { http, https } = proxyVariables(environment);
  return [http, https].some((proxy) => proxy.includes('@'));
}

/**
 * `host:port` is http. Undefined for what Go or Node would take for another proxy than a person
 * meant.
 */
export function parseProxy(text: string): URL | undefined {
  if (/[\s\\]/.test(text)) return undefined;
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  return url === null || url.host === '' || !isDecodable(url) ? undefined : url;
}

/** Node takes a login with a stray `%` for a URL, and throws when it is to be used. */
function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

/** Whether Go asks a URL without its proxy: this host itself, or one that the list `no` names. */
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

/** `foo.com` is that name and all below it, `.foo.com` those below it alone. */
function isBelow(host: string, name: string): boolean {
  const isDotted = name.startsWith('.');
  const bare = isDotted ? name.slice(1) : name;
  // Of a name that is ASCII already it would make another: it cuts `10.0.0.0/33` at the slash.
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
