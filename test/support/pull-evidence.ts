/**
 * What tells of a pull while it runs and when it is over: containerd's leases and its image events.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab, LabHost } from '../../lab/fleet/lab.ts';
import { Service } from '../../lab/processes/service.ts';
import { ContainerdApi } from '../../lib/containerd/api.ts';
import { ContainerdClient } from '../../lib/containerd/client.ts';

const CALL_MS = 5_000;

/** Ids of the leases with an end that a namespace has now: containerd's pulls hold such ones. */
export async function leasesOf({ containerd }: LabHost, namespace: string): Promise<string[]> {
  const client = new ContainerdClient(containerd.socket);
  try {
    const leases = await new ContainerdApi(client).leases(namespace, AbortSignal.timeout(CALL_MS));
    return leases.filter(({ labels }) => labels['containerd.io/gc.expire']).map(({ id }) => id);
  } finally {
    client.close();
  }
}

export interface ImageEvent {
  readonly namespace: string;
  readonly topic: string;
  readonly name: string;
}

/** Follows a containerd's events, of all namespaces. */
export class ImageEvents {
  readonly #service: Service;
  #forgotten = 0;

  /** Ends with the lab. */
  constructor(lab: Lab, { name, net, containerd, dir }: LabHost) {
    const ctr = join(lab.tools.containerd[containerd.version].bin, 'ctr');
    const argv = net.on(ctr, '--address', containerd.socket, 'events');
    this.#service = new Service(argv, join(dir, 'events.log'));
    this.#service.start();
    lab.keep(`${name} events`, this.#service);
  }

  /** Since the last forget(). */
  async all(): Promise<ImageEvent[]> {
    return (await this.#all()).slice(this.#forgotten);
  }

  async forget(): Promise<void> {
    this.#forgotten = (await this.#all()).length;
  }

  async #all(): Promise<ImageEvent[]> {
    const text = await readFile(this.#service.logPath, 'utf8').catch(() => '');
    return text.split('\n').flatMap((line) => {
      const [, namespace = '', topic = '', json = ''] =
        /(\S+) (\/images\/\w+) (\{.*\})\s*$/.exec(line) ?? [];
      if (topic === '') return [];
      return { namespace, topic, name: String((JSON.parse(json) as { name?: string }).name) };
    });
  }
}
