/** How long containerd waits for its own daemon, seen from between the two. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';
import { Service } from '../../lab/processes/service.ts';
import { DAEMON_PORT, TAP_PORT } from './tap-ports.ts';

const PROGRAM = join(import.meta.dirname, 'tap-program.ts');

export interface Wait {
  readonly ms: number;
  /** Method and path of the request. */
  readonly what: string;
}

export class Tap {
  readonly #log: string;

  private constructor(log: string) {
    this.#log = log;
  }

  /** Runs until the lab ends; containerd and its settings know nothing of it. */
  static async start(lab: Lab, host: LabHost): Promise<Tap> {
    const log = join(host.dir, 'tap.waits');
    const service = new Service(
      host.net.on(process.execPath, PROGRAM, log),
      join(host.dir, 'tap.log'),
    );
    lab.keep(`${host.name} tap`, service);
    service.start();
    await service.ready(() =>
      readFile(log).then(
        () => true,
        () => false,
      ),
    );
    const match = `ip saddr 127.0.0.1 ip daddr 127.0.0.1 tcp dport ${DAEMON_PORT}`;
    const chain = `chain out { type nat hook output priority -100; ${match} redirect to :${TAP_PORT}; };`;
    await host.net.run([lab.tools.nft, `add table ip tap { ${chain} }`]);
    return new Tap(log);
  }

  /** The longest wait of a request for its first or next byte. */
  async longest(): Promise<Wait> {
    const lines = (await readFile(this.#log, 'utf8')).split('\n').filter(Boolean);
    const last = lines.at(-1);
    return last === undefined ? { ms: 0, what: '' } : (JSON.parse(last) as Wait);
  }
}
