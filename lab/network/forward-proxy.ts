/** An HTTP proxy on a host of its own, the only way to what the other hosts cannot reach. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab } from '../fleet/lab.ts';
import { Service } from '../processes/service.ts';

const PROGRAM = join(import.meta.dirname, 'forward-proxy-server.ts');
const PORT = 3128;

export interface ForwardProxy {
  /** For HTTP_PROXY. */
  readonly url: string;
  readonly address: string;
  /** `GET http://…` and `CONNECT host:port`, in their order. */
  requests(): Promise<string[]>;
}

/** Runs until the lab ends. */
export async function startForwardProxy(lab: Lab): Promise<ForwardProxy> {
  const net = await lab.network.addHost('proxy');
  const service = new Service(
    net.on(process.execPath, PROGRAM, String(PORT)),
    join(lab.dir, 'proxy.log'),
  );
  lab.keep('proxy', service);
  service.start();
  const url = `http://${net.address}:${PORT}`;
  const answers = () =>
    fetch(url).then(
      () => true,
      () => false,
    );
  await service.ready(answers);
  const requests = async () => {
    const lines = (await readFile(service.logPath, 'utf8')).split('\n');
    return lines.filter((line) => /^[A-Z]+ /.test(line));
  };
  return { url, address: net.address, requests };
}
