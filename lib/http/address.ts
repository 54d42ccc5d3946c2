/** Where a TCP connection goes to. `host` is without brackets. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

const ADDRESS = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/;

/** Splits `host:port` and `[v6]:port`. Undefined when it is neither or the port is not in 1..65535. */
export function parseEndpoint(address: string): Endpoint | undefined {
  const [, bracketed, plain, digits] = ADDRESS.exec(address) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || !(port >= 1 && port <= 65_535)) return undefined;
  return { host, port };
}
